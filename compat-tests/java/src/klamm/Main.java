package klamm;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.function.Function;

/**
 * Runs all tests against the broker that the environment's BROKER names; a line for each, as harness/main.py counts. An
 * argument chooses the tests whose class and name hold it.
 */
final class Main {
    private static final List<Function<Clients, Object>> SUITES =
            List.of(ProducerTests::new, ConsumerTests::new, GroupTests::new, AdminTests::new, ConfigTests::new,
                    ClusterTests::new, TransactionTests::new);

    private Main() {}

    public static void main(String[] arguments) {
        boolean passed = true;
        String chosen = arguments.length == 0 ? "" : arguments[0];
        for (Function<Clients, Object> suite : SUITES) {
            Class<?> type = suite.apply(null).getClass();
            List<Method> tests = Arrays.stream(type.getDeclaredMethods())
                    .filter(method -> method.isAnnotationPresent(Test.class))
                    .filter(method -> (type.getName() + "." + method.getName()).contains(chosen))
                    .sorted(Comparator.comparing(Method::getName))
                    .toList();
            for (Method test : tests) {
                passed &= run(suite, test);
            }
        }
        System.exit(passed ? 0 : 1);
    }

    /** Runs one test with clients of its own; returns whether it passed. */
    private static boolean run(Function<Clients, Object> suite, Method test) {
        long start = System.nanoTime();
        Throwable failure = null;
        try (Clients clients = new Clients(System.getenv("BROKER"))) {
            test.invoke(suite.apply(clients));
        } catch (InvocationTargetException error) {
            failure = error.getCause();
        } catch (Exception error) {
            failure = error;
        }
        double seconds = (System.nanoTime() - start) / 1e9;
        String name = test.getDeclaringClass().getSimpleName().replace("Tests", "").toLowerCase() + ": " + test.getName();
        System.out.printf("%s %s (%.1f s)%n", failure == null ? "PASS" : "FAIL", name, seconds);
        if (failure != null) {
            failure.printStackTrace(System.out);
        }
        return failure == null;
    }
}
