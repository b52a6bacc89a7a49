package klamm;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.charset.Charset;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Runs Kafka's command-line tools one after another in one JVM, each as if it had a process of its own.
 *
 * <p>A request is a line of words in base64 with tabs between them: the seconds that the tool may take, its main class, its
 * input, and its arguments. The answer is a line with the exit status, {@code again} or {@code last}, and the output in
 * base64. After {@code last} this JVM ends: the tool had not stopped in time, or has left threads that only that stops.
 */
final class ToolHost {
    /** What a process has that is killed by SIGKILL. */
    static final int KILLED = -9;

    /** Where client ids are counted, which tools show; a process counts from the start. */
    private static final Map<String, String> COUNTERS = Map.of(
            "org.apache.kafka.clients.admin.KafkaAdminClient", "ADMIN_CLIENT_ID_SEQUENCE",
            "org.apache.kafka.clients.consumer.ConsumerConfig", "CONSUMER_CLIENT_ID_SEQUENCE",
            "org.apache.kafka.clients.producer.ProducerConfig", "PRODUCER_CLIENT_ID_SEQUENCE");

    /** The one in which the command line of a process is read. */
    private static final Charset ARGUMENTS = Charset.forName(System.getProperty("sun.jnu.encoding"));

    private ToolHost() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        ToolRun.Console console = new ToolRun.Console();
        PrintStream stream = new PrintStream(console, true);
        System.setOut(stream);
        System.setErr(stream);
        Map<String, byte[]> classes = new HashMap<>();
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            List<byte[]> words = Arrays.stream(line.split("\t", -1)).map(Base64.getDecoder()::decode).toList();
            resetCounters();
            String[] toolArguments = words.stream().skip(3).map(word -> new String(word, ARGUMENTS)).toArray(String[]::new);
            ClassLoader fresh = new FreshClasses(classes);
            ToolRun run = new ToolRun(console, fresh, text(words.get(1)), toolArguments, words.get(2));
            int status = run.runFor(Integer.parseInt(text(words.get(0))));
            boolean isLast = status == KILLED || run.leavesThreads();
            answers.println(status + "\t" + (isLast ? "last" : "again") + "\t"
                    + Base64.getEncoder().encodeToString(run.output()));
            if (isLast) {
                break;
            }
        }
        answers.flush();
        Runtime.getRuntime().halt(0);
    }

    private static String text(byte[] word) {
        return new String(word, Charset.defaultCharset());
    }

    private static void resetCounters() throws ReflectiveOperationException {
        for (Map.Entry<String, String> counter : COUNTERS.entrySet()) {
            Field field = Class.forName(counter.getKey()).getDeclaredField(counter.getValue());
            field.setAccessible(true);
            ((AtomicInteger) field.get(null)).set(1);
        }
    }

    /** Loads the tools' own classes anew, so that their static fields are as they begin; all other classes are shared. */
    private static final class FreshClasses extends ClassLoader {
        private final Map<String, byte[]> known;

        /** {@code known} are the bytes of classes that were read before. */
        FreshClasses(Map<String, byte[]> known) {
            super(ToolHost.class.getClassLoader());
            this.known = known;
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.startsWith("org.apache.kafka.tools.") && !name.startsWith("kafka.")) {
                return super.loadClass(name, resolve);
            }
            synchronized (known) {
                Class<?> loaded = findLoadedClass(name);
                return loaded == null ? define(name) : loaded;
            }
        }

        private Class<?> define(String name) throws ClassNotFoundException {
            byte[] bytes = known.get(name);
            if (bytes == null) {
                try (var file = getParent().getResourceAsStream(name.replace('.', '/') + ".class")) {
                    if (file == null) {
                        throw new ClassNotFoundException(name);
                    }
                    bytes = file.readAllBytes();
                } catch (IOException error) {
                    throw new ClassNotFoundException(name, error);
                }
                known.put(name, bytes);
            }
            return defineClass(name, bytes, 0, bytes.length);
        }
    }
}
