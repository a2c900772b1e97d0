// A start of the JVM with some work for its compilers: the C heap under a managed one.
import java.nio.file.*;
import java.util.*;
import java.util.stream.*;
class Words {
    public static void main(String[] arguments) throws Exception {
        Map<String, Long> count = Files.lines(Path.of(arguments[0])).flatMap(l -> Arrays.stream(l.split(" ")))
            .collect(Collectors.groupingBy(w -> w, TreeMap::new, Collectors.counting()));
        System.out.println(count.size() + " " + count.values().stream().mapToLong(v -> v).max().getAsLong());
    }
}
