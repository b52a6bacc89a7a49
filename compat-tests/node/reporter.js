// A reporter for `node --test`: one line for each test, as harness/main.py counts them, and why a test failed.
module.exports = async function* report(events) {
  for await (const { type, data } of events) {
    if (type === "test:pass" || type === "test:fail") {
      if (data.details?.type === "suite" || data.name.endsWith(".js")) continue;
      const outcome = data.skip !== undefined ? "SKIP" : type === "test:pass" ? "PASS" : "FAIL";
      yield `${outcome} ${data.name} (${(data.details.duration_ms / 1000).toFixed(1)} s)\n`;
      if (outcome === "FAIL") yield `${data.details.error?.cause?.stack ?? data.details.error}\n`;
    } else if (type === "test:stderr" || type === "test:stdout") {
      yield data.message;
    }
  }
};
