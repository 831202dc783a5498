-- Values of a hash in one reply: their lengths as packed u32 (2^32-1: absent) and all bytes in a row.
-- KEYS: hash. ARGV: fields of 8 bytes, one after the other.
local lengths, rows = {}, {}
for i = 1, #ARGV[1], 8 do
  local row = redis.call('HGET', KEYS[1], string.sub(ARGV[1], i, i + 7))
  lengths[#lengths + 1] = struct.pack('<I4', row and #row or 4294967295)
  if row then rows[#rows + 1] = row end
end
return {table.concat(lengths), table.concat(rows)}
