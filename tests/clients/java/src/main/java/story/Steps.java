package story;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;

/** What the test reads: a JSON line for every step. */
final class Steps {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  private Steps() {}

  /** Call it first: libraries that print must not spoil the lines. */
  static void begin() {
    System.setOut(System.err);
  }

  static void print(String step, Map<String, ?> fields) throws JsonProcessingException {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("step", step);
    line.putAll(fields);
    OUT.println(JSON.writeValueAsString(line));
  }

  /** The error a call must end with. */
  static <E extends Exception> E failure(Class<E> type, Callable<?> call) throws Exception {
    try {
      call.call();
    } catch (Exception error) {
      if (type.isInstance(error)) {
        return type.cast(error);
      }
      throw error;
    }
    throw new AssertionError("the call was expected to fail with " + type.getSimpleName());
  }

  static <T> T until(String what, Callable<T> condition) throws Exception {
    for (long end = System.nanoTime() + 60_000_000_000L; System.nanoTime() < end; ) {
      T value = condition.call();
      if (value != null) {
        return value;
      }
      Thread.sleep(100);
    }
    throw new AssertionError("waited in vain for " + what);
  }
}
