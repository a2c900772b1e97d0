<?php // Arrays, JSON, strings and sorting. usage: groups.php FILE.jsonl
$groups = []; $words = [];
foreach (new SplFileObject($argv[1]) as $line) {
    $record = json_decode($line, true);
    if (!$record) continue;
    $groups[$record['group']][] = $record;
    foreach (explode(' ', $record['name'] . ' ' . implode(' ', $record['tags'])) as $word)
        $words[$word] = ($words[$word] ?? 0) + 1;
    if (count($groups[$record['group']]) > 60) {
        usort($groups[$record['group']], fn($a, $b) => $b['score'] <=> $a['score']);
        $groups[$record['group']] = array_slice($groups[$record['group']], 0, 30);
    }
}
ksort($groups); arsort($words);
echo strlen(json_encode($groups)), ' ', count($words), ' ', preg_replace('/[aeiou]/', '*', array_key_first($words)), "\n";
