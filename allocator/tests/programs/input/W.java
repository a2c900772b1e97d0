import java.util.TreeMap;

public class W {
    public static void main(String[] a) {
        TreeMap<String, Integer> m = new TreeMap<>();
        for (int i = 0; i < 100000; i++)
            m.merge("" + i * 7919 % 10007, 1, Integer::sum);
        System.out.println(m.size() + " " + m.firstKey());
    }
}
