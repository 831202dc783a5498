-- Sets fields if other fields are what was read.
-- KEYS: hash. ARGV: how many conditions, then field and value of each ('' is absent), then fields and values to set.
for i = 2, 2 * ARGV[1], 2 do
  if (redis.call('HGET', KEYS[1], ARGV[i]) or '') ~= ARGV[i + 1] then return 0 end
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2 * ARGV[1] + 2))
return 1
