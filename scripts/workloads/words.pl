# Hashes, sorting, joins and substitutions over a text. usage: words.pl FILE
use strict; use warnings;
my (%count, %after, @lines);
open my $in, '<', $ARGV[0] or die "words.pl: cannot open '$ARGV[0]': $!\n";
while (my $line = <$in>) {
    chomp $line;
    my @words = split / /, $line;
    for my $i (0 .. $#words) {
        $count{$words[$i]}++;
        push @{$after{$words[$i]}}, $words[$i + 1] if $i < $#words && @{$after{$words[$i]} || []} < 20;
    }
    (my $copy = $line) =~ s/([aeiou])(\w)/uc($1) . $2/ge;
    push @lines, join '-', reverse split / /, $copy;
    @lines = grep { length > 20 } @lines[-500 .. -1] if @lines > 2000;
}
my @top = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 9];
print join(' ', map { "$_=$count{$_}:" . scalar @{$after{$_} || []} } @top), ' ', scalar @lines, "\n";
