-- Scores of members as packed f64, -inf where absent: one reply to parse instead of thousands.
-- KEYS: sorted set. ARGV: members of 8 bytes, one after the other.
local out = {}
local CHUNK = 1000
local count = #ARGV[1] / 8
for first = 0, count - 1, CHUNK do
  local members = {}
  for i = first, math.min(first + CHUNK, count) - 1 do
    members[#members + 1] = string.sub(ARGV[1], 8 * i + 1, 8 * i + 8)
  end
  local scores = redis.call('ZMSCORE', KEYS[1], unpack(members))
  for i = 1, #members do
    scores[i] = struct.pack('<d', scores[i] and tonumber(scores[i]) or -math.huge)
  end
  out[#out + 1] = table.concat(scores)
end
return table.concat(out)
