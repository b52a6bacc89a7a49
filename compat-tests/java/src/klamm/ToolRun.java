package klamm;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.common.utils.Exit;

/**
 * One run of a tool: its threads are a group, its output and its errors one stream, and its exit is caught.
 *
 * <p>It ends as a process does: when its code calls {@link Exit}, or when all its threads but daemons are over. Then its
 * shutdown hooks run.
 */
final class ToolRun {
    /** The threads of admin clients that tools have not closed: they leave nothing but a connection, which they close. */
    private static final String ADMIN = "kafka-admin-client-thread";
    private static final long CLOSING_MS = 500;
    private static final long LOOK_AGAIN_MS = 2;
    private static final long STOP_AGAIN_MS = 25;

    private final ThreadGroup group = new ThreadGroup("main");
    private final ByteArrayOutputStream output = new ByteArrayOutputStream();
    private final List<Thread> hooks = Collections.synchronizedList(new ArrayList<>());
    private final CompletableFuture<Integer> exited = new CompletableFuture<>();
    private final CompletableFuture<Integer> returned = new CompletableFuture<>();
    private final CountDownLatch isOver = new CountDownLatch(1);
    private volatile boolean isHalted;
    private byte[] printed = {};

    private final Console console;
    private final ClassLoader classes;
    private final String mainClass;
    private final String[] arguments;
    private final byte[] input;

    ToolRun(Console console, ClassLoader classes, String mainClass, String[] arguments, byte[] input) {
        this.console = console;
        this.classes = classes;
        this.mainClass = mainClass;
        this.arguments = arguments;
        this.input = input;
    }

    /** Runs the tool to its end, at most for so long; returns its exit status. */
    int runFor(int seconds) throws InterruptedException {
        System.setIn(new ByteArrayInputStream(input));
        console.writeTo(output);
        Exit.setExitProcedure((status, message) -> end(status));
        Exit.setHaltProcedure((status, message) -> {
            isHalted = true;
            end(status);
        });
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(new Thread(group, hook, name == null ? "hook" : name)));
        Thread main = new Thread(group, this::callMain, "main");
        main.setContextClassLoader(classes);
        main.start();
        int status;
        try {
            status = waitFor(seconds);
            runHooks(seconds);
        } catch (TimeoutException late) {
            status = ToolHost.KILLED;
        }
        console.writeTo(OutputStream.nullOutputStream());
        printed = output.toByteArray();
        isOver.countDown();
        return status;
    }

    /** What the tool printed. */
    byte[] output() {
        return printed;
    }

    /** Whether threads of the tool go on; those that end with it have a moment for that. */
    boolean leavesThreads() throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(CLOSING_MS);
        while (!threads().isEmpty()) {
            if (System.nanoTime() > deadline) {
                return true;
            }
            if (threads().stream().allMatch(thread -> thread.getName().startsWith(ADMIN))) {
                // Again, where it has caught the first: it catches all that answers make it throw.
                threads().forEach(ToolRun::stop);
                Thread.sleep(STOP_AGAIN_MS);
            } else {
                Thread.sleep(LOOK_AGAIN_MS);
            }
        }
        return false;
    }

    @SuppressWarnings({"deprecation", "removal"})
    private static void stop(Thread thread) {
        try {
            thread.stop();
            // Out of the selector that it waits in.
            thread.interrupt();
        } catch (UnsupportedOperationException error) {
            // From Java 20 on; then it is left.
        }
    }

    private void callMain() {
        try {
            Class.forName(mainClass, true, classes).getMethod("main", String[].class).invoke(null, (Object) arguments);
            returned.complete(0);
        } catch (InvocationTargetException error) {
            group.uncaughtException(Thread.currentThread(), error.getCause());
            returned.complete(1);
        } catch (ReflectiveOperationException error) {
            group.uncaughtException(Thread.currentThread(), error);
            returned.complete(1);
        }
    }

    /** What the tool's code calls to exit: as in a process, this does not return; the thread ends when the run is over. */
    private void end(int status) {
        exited.complete(status);
        boolean waits = true;
        while (waits) {
            try {
                isOver.await();
                waits = false;
            } catch (InterruptedException again) {
                // A process is not kept from its exit either.
            }
        }
        throw new ThreadDeath();
    }

    private int waitFor(int seconds) throws InterruptedException, TimeoutException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        try {
            CompletableFuture.anyOf(exited, returned).get(seconds, TimeUnit.SECONDS);
        } catch (ExecutionException error) {
            throw new IllegalStateException(error);
        }
        while (!exited.isDone() && threads().stream().anyMatch(thread -> !thread.isDaemon())) {
            if (System.nanoTime() > deadline) {
                throw new TimeoutException();
            }
            Thread.sleep(LOOK_AGAIN_MS);
        }
        return exited.isDone() ? exited.join() : returned.join();
    }

    private void runHooks(int seconds) throws InterruptedException {
        List<Thread> started = isHalted ? List.of() : List.copyOf(hooks);
        started.forEach(hook -> hook.setContextClassLoader(classes));
        started.forEach(Thread::start);
        for (Thread hook : started) {
            hook.join(TimeUnit.SECONDS.toMillis(seconds));
        }
    }

    /** The threads of the tool that are alive. */
    private List<Thread> threads() {
        Thread[] found = new Thread[group.activeCount() + 16];
        return Arrays.stream(found, 0, group.enumerate(found)).filter(Thread::isAlive).toList();
    }

    /**
     * What all runs print to: it stays the same, as Scala prints for ever to what it finds as {@link System#out} when it
     * starts.
     */
    static final class Console extends OutputStream {
        private volatile OutputStream target = OutputStream.nullOutputStream();

        @Override
        public void write(int one) throws IOException {
            target.write(one);
        }

        @Override
        public void write(byte[] bytes, int from, int length) throws IOException {
            target.write(bytes, from, length);
        }

        private void writeTo(OutputStream next) {
            target = next;
        }
    }
}
