-- Writes each profile whose position and counter are still those that were read.
-- KEYS: profiles. ARGV: expiry in ms, then for each key the bytes read (9 to 32, empty: absent) and the value.
-- Answers one letter a key: w written, c changed since, n stored in a newer vector space.
local outcomes = {}
for i = 1, #KEYS do
  local head = redis.call('GETRANGE', KEYS[i], 0, 43)
  local value = ARGV[2 * i + 1]
  if #head == 44 and string.byte(head) == string.byte(value)
      and struct.unpack('<I4', head, 41) > struct.unpack('<I4', value, 41) then
    outcomes[i] = 'n'
  elseif string.sub(head, 9, 32) ~= ARGV[2 * i] then
    outcomes[i] = 'c'
  else
    redis.call('SET', KEYS[i], value, 'PX', ARGV[1])
    outcomes[i] = 'w'
  end
end
return table.concat(outcomes)
