-- Sets a batch's absolute values behind the fence, then evicts.
-- KEYS: fence, trend, popular, covis. ARGV: fence read, new fence, counts of pairs for trend, popular and covis,
-- items to keep (-1: no eviction), then the pairs: score, member | score, member | field, row.
-- Evicted with an item: its row, and the row of what was bought with it (kernel/covisits.py, bought_row_key: bit 63
-- of a little-endian u64). Rows of segments stay.
-- Answers 1 when the values stand, 0 when another writer moved the fence.
local stored = redis.call('GET', KEYS[1]) or ''
if stored == ARGV[2] then return 1 end
if stored ~= ARGV[1] then return 0 end
-- First the write that a full server refuses: then nothing is written.
redis.call('SET', KEYS[1], ARGV[2])
local CHUNK = 4000 -- below what Lua can unpack, even, so that pairs stay together
local at = 7
local commands = {'ZADD', 'ZADD', 'HSET'}
for part = 1, 3 do
  local last = at + 2 * tonumber(ARGV[2 + part]) - 1
  for first = at, last, CHUNK do
    redis.call(commands[part], KEYS[1 + part], unpack(ARGV, first, math.min(first + CHUNK - 1, last)))
  end
  at = last + 1
end
local keep = tonumber(ARGV[6])
if keep >= 0 then
  local excess = redis.call('ZCARD', KEYS[3]) - keep
  while excess > 0 do
    local lowest = redis.call('ZRANGE', KEYS[3], 0, math.min(excess, CHUNK) - 1)
    redis.call('ZREM', KEYS[3], unpack(lowest))
    redis.call('ZREM', KEYS[2], unpack(lowest))
    redis.call('HDEL', KEYS[4], unpack(lowest))
    local bought = {}
    for place, member in ipairs(lowest) do
      bought[place] = string.sub(member, 1, 7) .. string.char((string.byte(member, 8) + 128) % 256)
    end
    redis.call('HDEL', KEYS[4], unpack(bought))
    excess = excess - #lowest
  end
end
return 1
