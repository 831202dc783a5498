-- Changes after a place in the stream, and what tells whether some are missing.
-- KEYS: stream. ARGV: id after which to read, how many at most.
-- Answers ids of items, the last entry's id, entries ever added, entries held.
if redis.call('EXISTS', KEYS[1]) == 0 then return {{}, '0-0', 0, 0} end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
local facts = {}
for i = 1, #info, 2 do facts[info[i]] = info[i + 1] end
local last, items = facts['last-generated-id'], {}
if tonumber(ARGV[2]) > 0 then
  local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
  last = ARGV[1]
  for i, entry in ipairs(entries) do
    last = entry[1]
    items[i] = entry[2][2]
  end
end
return {items, last, facts['entries-added'], facts['length']}
