-- Applies records of one partition of the items topic behind their fence.
-- KEYS: items, keys, fence, changes. ARGV: partition, fence read, new fence, changes to keep, then id, key (8 bytes)
-- and value of each record ('' deletes).
-- Answers {1} applied, {0} another writer moved the fence, {2, index, owner, …} upserts whose key another item has;
-- in the last two cases nothing is written.
local stored = redis.call('HGET', KEYS[3], ARGV[1]) or ''
if stored == ARGV[3] then return {1} end
if stored ~= ARGV[2] then return {0} end
local owners, answer = {}, {2}
for i = 5, #ARGV, 3 do
  local id, key = ARGV[i], ARGV[i + 1]
  if owners[key] == nil then owners[key] = redis.call('HGET', KEYS[2], key) end
  if ARGV[i + 2] == '' then
    if owners[key] == id then owners[key] = false end
  elseif owners[key] and owners[key] ~= id then
    answer[#answer + 1] = (i - 5) / 3
    answer[#answer + 1] = owners[key]
  else
    owners[key] = id
  end
end
if #answer > 1 then return answer end
-- First the write that a full server refuses: then nothing is written.
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
for i = 5, #ARGV, 3 do
  local id, key, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if value == '' then
    redis.call('HDEL', KEYS[1], id)
    if redis.call('HGET', KEYS[2], key) == id then redis.call('HDEL', KEYS[2], key) end
  else
    redis.call('HSET', KEYS[1], id, value)
    redis.call('HSET', KEYS[2], key, id)
  end
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[4], '*', 'id', id)
end
return {1}
