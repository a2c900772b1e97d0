# Objects, strings, hashes, symbols and JSON. usage: objects.rb FILE.jsonl
require 'json'
Item = Struct.new(:id, :name, :score, :tags)
groups = Hash.new { |hash, key| hash[key] = [] }
File.foreach(ARGV[0]) do |line|
  record = JSON.parse(line)
  groups[record['group']] << Item.new(record['id'], record['name'].upcase.gsub(/[AEIOU]/) { |v| v.downcase * 2 },
                                      record['score'], record['tags'].map(&:to_s).uniq.sort)
  groups[record['group']] = groups[record['group']].max_by(40, &:score) if groups[record['group']].size > 80
end
out = groups.sort.map { |name, items| [name, items.sort_by { |i| [-i.score, i.id] }.map(&:to_a)] }
puts JSON.generate(out).size, out.size
