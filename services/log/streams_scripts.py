"""The Lua scripts of the embedded log. Offsets are 0-based; the stream id of offset n is `0-(n + 1)`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the hash that the server knows it by."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


# KEYS meta · ARGV partitions. Answers the topic's partition count, which the first caller decides.
ENSURE = Script("""
redis.call('HSETNX', KEYS[1], 'partitions', ARGV[1])
return redis.call('HGET', KEYS[1], 'partitions')
""")

# KEYS meta, groups, commits, stream… · ARGV partitions, bound, droppable, then for each stream: partition, n,
# n records. Answers for each stream the offset of its first record, or -1 when it is full: all of a stream's
# records or none.
# 1. Make room: trim what every group has applied, and no more than needed, so that a replay finds the rest.
#    A topic that nobody consumes (droppable) loses its oldest instead of filling up for good.
# 2. Append; the record's time is the server's.
APPEND = Script("""
local known = redis.call('HGET', KEYS[1], 'partitions')
if not known then redis.call('HSET', KEYS[1], 'partitions', ARGV[1])
elseif known ~= ARGV[1] then return redis.error_reply('PARTITIONS ' .. known) end
local bound, droppable = tonumber(ARGV[2]), ARGV[3] == '1'
local time = redis.call('TIME')
local stamp = string.char(146) .. struct.pack('>BI8', 207, time[1] * 1000 + math.floor(time[2] / 1000))
local function trim(key, partition, need)
  local applied = nil
  for _, group in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    local offset = tonumber(redis.call('HGET', KEYS[3], group .. ':' .. partition) or '-1')
    if not applied or offset < applied then applied = offset end
  end
  if not applied then
    if not droppable then return 0 end
    applied = math.huge
  end
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  if not first then return 0 end
  local from = tonumber(string.sub(first[1], 3)) - 1
  local upto = math.min(applied, from + need)
  if upto <= from then return 0 end
  return redis.call('XTRIM', key, 'MINID', '=', string.format('0-%.0f', upto + 1))
end
local at, firsts = 4, {}
for i = 4, #KEYS do
  local n, key = tonumber(ARGV[at + 1]), KEYS[i]
  local over = redis.call('XLEN', key) + n - bound
  if over > 0 then over = over - trim(key, ARGV[at], over) end
  if over > 0 then
    firsts[#firsts + 1] = -1
  else
    local id
    for j = at + 2, at + 1 + n do id = redis.call('XADD', key, '0-*', 'r', stamp .. ARGV[j]) end
    firsts[#firsts + 1] = tonumber(string.sub(id, 3)) - n
  end
  at = at + 2 + n
end
return firsts
""")

# KEYS lease, stream… · ARGV token ('' without a group), records, bytes, then each stream's start offset.
# Answers for each stream: first offset, number, records glued together. A run ends where offsets have a gap.
# Read 64 at a time, so that one call never copies much more than `bytes`.
READ = Script("""
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('LEASELOST') end
local left, bytes, answer = tonumber(ARGV[2]), tonumber(ARGV[3]), {}
for i = 2, #KEYS do
  local parts, first, seq = {}, -1, 0
  local from = string.format('0-%.0f', tonumber(ARGV[i + 2]) + 1)
  local more = true
  while more and left > 0 and bytes > 0 do
    local ask = math.min(left, 64)
    local got = redis.call('XRANGE', KEYS[i], from, '+', 'COUNT', ask)
    more = #got == ask
    for _, entry in ipairs(got) do
      local at = tonumber(string.sub(entry[1], 3))
      if first < 0 then first, seq = at - 1, at elseif at ~= seq + 1 then more = false break end
      seq = at
      parts[#parts + 1] = entry[2][2]
      bytes, left = bytes - #entry[2][2], left - 1
    end
    if more then from = string.format('0-%.0f', seq + 1) end
  end
  answer[#answer + 1] = first
  answer[#answer + 1] = #parts
  answer[#answer + 1] = table.concat(parts)
end
return answer
""")

# KEYS stream… Answers first and end offset of each.
BOUNDS = Script("""
local answer = {}
for i = 1, #KEYS do
  local first, last = 0, 0
  if redis.call('EXISTS', KEYS[i]) == 1 then
    local info = redis.call('XINFO', 'STREAM', KEYS[i])
    for j = 1, #info, 2 do
      if info[j] == 'last-generated-id' then last = tonumber(string.sub(info[j + 1], 3)) end
    end
    local entry = redis.call('XRANGE', KEYS[i], '-', '+', 'COUNT', 1)[1]
    first = entry and tonumber(string.sub(entry[1], 3)) - 1 or last
  end
  answer[#answer + 1] = first
  answer[#answer + 1] = last
end
return answer
""")

# KEYS lease, groups, commits · ARGV token, lease ms, group, partitions. Takes the lease unless somebody holds
# it and makes the group known, so that nothing is trimmed before its first commit. Answers commits, or nil.
ACQUIRE = Script("""#!lua flags=allow-oom
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return nil end
redis.call('SADD', KEYS[2], ARGV[3])
local commits = {}
for partition = 0, tonumber(ARGV[4]) - 1 do
  local name = ARGV[3] .. ':' .. partition
  redis.call('HSETNX', KEYS[3], name, '-1')
  commits[#commits + 1] = tonumber(redis.call('HGET', KEYS[3], name))
end
return commits
""")

# KEYS lease · ARGV token, lease ms. Answers 1, or 0 when the lease is not ours.
RENEW = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")

# KEYS lease · ARGV token.
RELEASE = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")

# KEYS lease, commits · ARGV token, then name and offset of each. Answers 1, or 0 when the lease is not ours.
# Joining and committing work on a server at its maxmemory, too: they are what lets the log be trimmed.
COMMIT = Script("""#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
""")
