//! The rules of the house, held by a test; what cannot be seen in the source is not a rule here.
//!
//! Each rule is a function from a file to what is wrong with it, and each has a sample that it must refuse.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/source.rs"]
mod source;

use circles::circles;
use source::{Source, item_end, paths, sources, without_trait_impls};

/// The floors, from the ground up. An import points to a lower one.
const FLOORS: &[&[&str]] = &[
    &["protocol", "config", "ids", "clock", "metrics", "planted_bugs"],
    &["storage", "metadata", "state_machine", "security", "network", "quota"],
    &["quorum", "replication", "client"],
    &["controller", "coordinator"],
    &["broker"],
    &["api"],
    &["server", "cli"],
];

/// Imports between neighbours on one floor: from, to, and why that is natural.
const NEIGHBOURS: &[(&str, &str, &str)] = &[
    ("config", "ids", "a node id is an id"),
    ("config", "protocol", "a topic's compression is one of the protocol's codecs"),
    ("protocol", "ids", "records name topics and partitions"),
    ("cli", "server", "the command starts it"),
    ("quota", "metadata", "quotas are defined there"),
];

/// What is pure: a module with all below it, or one file.
const PURE: &[&str] = &[
    "src/protocol/",
    "src/config/",
    "src/ids.rs",
    "src/metadata/",
    "src/state_machine.rs",
    "src/quota/",
    "src/security/",
    "src/storage/cleaner/",
    "src/controller/",
    "src/coordinator/",
    "src/replication/partition/",
    "src/replication/fetcher/session.rs",
    "src/replication/fetcher/followers.rs",
    "src/replication/fetcher/requests.rs",
    "src/replication/replica_move.rs",
    "src/broker/hints/unreached.rs",
    "src/broker/hints/from_the_end.rs",
    "src/client/accumulator.rs",
    "src/client/assignor.rs",
    "src/client/consumer_protocol.rs",
    "src/client/error.rs",
    "src/client/kafka_exception.rs",
    "src/client/outcomes.rs",
    "src/client/partitioner.rs",
    "src/cli/changes.rs",
    "src/cli/demo/board.rs",
    "src/cli/hints.rs",
    "src/cli/records/encoding.rs",
    "src/cli/records/format.rs",
    "src/cli/records/json.rs",
    "src/cli/records/line_format.rs",
    "src/cli/records/modifiers.rs",
    "src/cli/records/offsets.rs",
    "src/cli/shims/line_reader.rs",
    "src/cli/shims/topic_filter.rs",
];
const IMPURE_EXCEPTIONS: &[(&str, &str)] = &[("src/coordinator/runtime/", "it drives the machines")];

/// Names that only what acts on the world, or reads it, may use.
const WORLDLY: &[&str] = &[
    "tokio",
    "fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "thread",
    "SystemTime",
    "Instant",
    "Mutex",
    "RwLock",
    "Condvar",
    "rand",
    "new_v4",
];

/// Who may use the runtime's timers: the clock, and what runs outside of any broker.
const TIMEKEEPERS: &[&str] = &["src/clock", "src/client/", "src/cli/"];

const MOST_LINES: usize = 600;
const MOST_FUNCTION_LINES: usize = 70;
const MOST_README_LINES: usize = 120;
/// Files that are one table each.
const TABLES: &[&str] = &["src/config/keys.rs", "src/api/mod.rs"];

/// Names that two types have all the same, and why.
const TWOFOLD_TYPES: &[(&str, &str)] = &[];

const VAGUE_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "manager"];
const KAFKAS_MANAGERS: &[&str] = &["ReplicaManager", "LogManager", "replica_manager", "log_manager"];

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Imports of a higher floor, of a neighbour that is not listed, and of modules that stand on no floor.
fn upward_imports(source: &Source) -> Vec<String> {
    let modules = source.modules();
    let Some(own) = modules.first() else { return Vec::new() };
    let Some(own_floor) = floor_of(own) else {
        return vec![format!("{}: {own} stands on no floor", source.path)];
    };
    let mut wrong = Vec::new();
    for (offset, path) in paths(&source.code) {
        let Some(target) = crate_module(&path, modules.len()) else { continue };
        let Some(floor) = floor_of(target) else { continue };
        let is_neighbour = NEIGHBOURS.iter().any(|(from, to, _)| from == own && *to == target);
        if target != *own && floor >= own_floor && !(floor == own_floor && is_neighbour) {
            wrong.push(format!("{}: {own} (floor {own_floor}) uses {target} (floor {floor})", source.place(offset)));
        }
    }
    wrong
}

/// The top module that a path names: by `crate::`, or by more `super::` than there are modules above the file.
fn crate_module(path: &str, depth: usize) -> Option<&str> {
    let mut parts = path.split("::");
    if path.starts_with("crate::") {
        return parts.nth(1);
    }
    let supers = parts.clone().take_while(|part| *part == "super").count();
    if supers >= depth.max(1) { parts.nth(supers) } else { None }
}

/// What a pure module may not know.
fn impurities(source: &Source) -> Vec<String> {
    let is_pure = PURE.iter().any(|pure| source.path.starts_with(pure))
        && !IMPURE_EXCEPTIONS.iter().any(|(path, _)| source.path.starts_with(path));
    if !is_pure {
        return Vec::new();
    }
    let worldly = |path: &str| path.split("::").find(|part| WORLDLY.contains(part)).map(str::to_owned);
    paths(&source.shipped)
        .into_iter()
        .filter_map(|(offset, path)| Some(format!("{}: a pure module uses {}", source.place(offset), worldly(&path)?)))
        .collect()
}

/// Lines of [`PURE`] that name nothing, so that they would hold nobody to anything.
fn stale_pure_paths(sources: &[Source]) -> Vec<String> {
    let names = |path: &str| sources.iter().any(|source| source.path.starts_with(path));
    PURE.iter().filter(|path| !names(path)).map(|path| format!("PURE names {path}, which is not there")).collect()
}

/// Timers that are not the clock's, so that no test could move the time on.
fn foreign_timers(source: &Source) -> Vec<String> {
    if TIMEKEEPERS.iter().any(|keeper| source.path.starts_with(keeper)) {
        return Vec::new();
    }
    paths(&source.shipped)
        .into_iter()
        .filter(|(_, path)| path.starts_with("tokio::time"))
        .map(|(offset, path)| format!("{}: {path} goes by another time than the clock", source.place(offset)))
        .collect()
}

fn too_long_files(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let is_table = TABLES.contains(&source.path.as_str());
    if lines > MOST_LINES && !is_table { vec![format!("{}: {lines} lines", source.path)] } else { Vec::new() }
}

fn too_long_functions(source: &Source) -> Vec<String> {
    functions(&source.code)
        .into_iter()
        .filter(|(_, _, lines)| *lines > MOST_FUNCTION_LINES)
        .map(|(offset, name, lines)| format!("{}: fn {name} has {lines} lines", source.place(offset)))
        .collect()
}

/// Every function with a body: where it begins, its name, and its lines from `fn` to the closing brace.
fn functions(code: &str) -> Vec<(usize, &str, usize)> {
    let names = code.match_indices("fn ").filter(|(offset, _)| !code[..*offset].ends_with(is_name_character));
    names
        .filter_map(|(offset, keyword)| {
            let signature = &code[offset + keyword.len()..];
            let name = &signature[..signature.find(|character| !is_name_character(character))?];
            let body = &code[offset..item_end(code, offset)];
            (!name.is_empty() && body.ends_with('}')).then(|| (offset, name, body.lines().count()))
        })
        .collect()
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Unfinished work, and what would end the process.
fn unfinished(source: &Source) -> Vec<String> {
    let marks = ["TODO", "FIXME", "XXX"].into_iter().filter(|mark| has_word(&source.text, mark));
    let mut wrong: Vec<String> = marks.map(|mark| format!("{}: {mark}", source.path)).collect();
    let unwraps = source.shipped.match_indices(".unwrap()");
    wrong.extend(unwraps.map(|(offset, _)| format!("{}: unwrap()", source.place(offset))));
    wrong
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(offset, _)| {
        !text[..offset].ends_with(is_name_character) && !text[offset + word.len()..].starts_with(is_name_character)
    })
}

fn missing_front_page(source: &Source) -> Vec<String> {
    if source.text.starts_with("//! ") { Vec::new() } else { vec![format!("{}: no //! on top", source.path)] }
}

/// Lints that are switched off without a reason.
fn unargued_exceptions(source: &Source) -> Vec<String> {
    ["allow(", "expect("]
        .into_iter()
        .flat_map(|exception| source.code.match_indices(exception))
        .filter(|(offset, _)| is_attribute(&source.code[..*offset]))
        .filter(|(offset, _)| !source.code[*offset..item_end(&source.code, *offset)].contains("reason = "))
        .map(|(offset, _)| format!("{}: no reason is given", source.place(offset)))
        .collect()
}

fn is_attribute(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
    line.starts_with("#[") || line.starts_with("#![")
}

/// Types that bear a name that another type has, and exceptions from that which are not needed any more.
fn twofold_types(sources: &[Source]) -> Vec<String> {
    let declared: Vec<(String, &str)> = sources.iter().flat_map(declared_types).collect();
    let count = |name: &str| declared.iter().filter(|(_, other)| *other == name).count();
    let is_excepted = |name: &str| TWOFOLD_TYPES.iter().any(|(excepted, _)| *excepted == name);
    let wrong = declared.iter().filter(|(_, name)| count(name) > 1 && !is_excepted(name));
    let wrong = wrong.map(|(place, name)| format!("{place}: another type is called {name}, too"));
    let stale = TWOFOLD_TYPES.iter().filter(|(name, _)| count(name) < 2);
    wrong.chain(stale.map(|(name, _)| format!("{name} has one meaning now: take it from TWOFOLD_TYPES"))).collect()
}

/// Where each type outside of tests is declared, and its name; a trait's associated types are not declarations.
fn declared_types(source: &Source) -> Vec<(String, &str)> {
    let mut offset = 0;
    let mut declared = Vec::new();
    for line in source.shipped.split_inclusive('\n') {
        declared.extend(declared_type(line).map(|name| (source.place(offset), name)));
        offset += line.len();
    }
    declared
}

fn declared_type(line: &str) -> Option<&str> {
    let words = line.split(|character| !is_name_character(character)).filter(|word| !word.is_empty());
    let mut words = words.skip_while(|word| ["pub", "super", "crate"].contains(word));
    let keyword = words.next()?;
    let is_alias = keyword == "type" && !line.starts_with(' ');
    let is_type = is_alias || ["struct", "enum", "trait", "union"].contains(&keyword);
    words.next().filter(|_| is_type && !line.contains('$'))
}

/// Names that say nothing, of files and of what is declared in them.
fn vague_names(source: &Source) -> Vec<String> {
    let code = without_trait_impls(&source.code);
    let words = code.split(|character| !is_name_character(character));
    let keywords = ["fn", "struct", "enum", "trait", "mod", "type"];
    let mut declared: Vec<&str> = source.modules();
    let mut previous = "";
    for word in words.filter(|word| !word.is_empty()) {
        if keywords.contains(&previous) {
            declared.push(word);
        }
        previous = word;
    }
    declared
        .into_iter()
        .filter(|name| !KAFKAS_MANAGERS.contains(name))
        .filter(|name| {
            name.starts_with("get_") || words_of(name).iter().any(|word| VAGUE_NAMES.contains(&word.as_str()))
        })
        .map(|name| format!("{}: {name} is a vague name", source.path))
        .collect()
}

/// The words of a name, by `_` and by capitals, in small letters.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in name.chars() {
        if character == '_' || character.is_ascii_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| character != '_') {
            word.push(character.to_ascii_lowercase());
        }
    }
    words
}

/// Handlers that are not in the table of APIs, and rows of the table that have no handler.
fn unlisted_handlers(api: &[Source]) -> Vec<String> {
    let is_handler = |source: &&Source| source.shipped.contains("pub async fn handle(");
    let name_of = |source: &Source| source.modules().last().copied().unwrap_or_default().to_owned();
    let handlers: Vec<String> = api.iter().filter(is_handler).map(name_of).collect();
    let listed: Vec<String> = api.iter().flat_map(table_rows).collect();
    let unlisted = handlers.iter().filter(|name| !listed.contains(name));
    let missing = listed.iter().filter(|name| !handlers.contains(name));
    let unlisted = unlisted.map(|name| format!("src/api/{name}.rs is not in the table"));
    unlisted.chain(missing.map(|name| format!("the table names {name}, which has no handler"))).collect()
}

/// The modules that the rows of `api_table! { Request versions => module; }` name.
fn table_rows(source: &Source) -> Vec<String> {
    let Some(start) = source.shipped.rfind("api_table! {") else { return Vec::new() };
    let table = &source.shipped[start..item_end(&source.shipped, start)];
    let rows = table.split("=>").skip(1).map(str::trim_start);
    rows.map(|row| row[..row.find(|character| !is_name_character(character)).unwrap_or(row.len())].to_owned()).collect()
}

/// Planted bugs that only one of two files names: the broker's, and the script's that looks for them.
fn unlisted_bugs(planted: &str, script: &str) -> Vec<String> {
    let names = |text: &str, start: &str, before: &str| {
        let table = text.split_once(start).map_or("", |(_, rest)| rest);
        let rows = table.lines().skip(1).map(str::trim).map_while(|row| row.strip_prefix(before));
        rows.map(|row| row.split('"').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let (bugs, sought) = (names(planted, "const NAMES", "(\""), names(script, "BUGS = {", "\""));
    let differing =
        bugs.iter().filter(|bug| !sought.contains(bug)).chain(sought.iter().filter(|bug| !bugs.contains(bug)));
    let none = bugs.is_empty().then(|| "no planted bugs were found".to_owned());
    differing
        .map(|bug| format!("only one of src/planted_bugs.rs and planted_bugs.py names {bug}"))
        .chain(none)
        .collect()
}

/// Fields of the typed configuration that nothing reads, so that their keys would have no effect.
fn unread_keys(keys: &[&str], sources: &[Source]) -> Vec<String> {
    let is_read = |field: &str| {
        let access = format!(".{field}");
        sources.iter().filter(|source| !source.path.starts_with("src/config/")).any(|source| {
            let mut uses = source.shipped.match_indices(&access);
            uses.any(|(offset, _)| !source.shipped[offset + access.len()..].starts_with(is_name_character))
        })
    };
    let unread = keys.iter().filter(|key| !is_read(&key.replace('.', "_")));
    unread.map(|key| format!("{key} is in a typed struct, and nothing reads it")).collect()
}

/// Files that say where they differ from Kafka and that the list of differences does not name, and the reverse.
fn untold_differences(page: &str, sources: &[Source]) -> Vec<String> {
    let list = page.split("<!-- differences").nth(1).and_then(|rest| rest.split("<!-- end of differences").next());
    let Some(list) = list else { return vec!["docs/compatibility.md has no list of differences".to_owned()] };
    let differs = |source: &Source| {
        source.text.lines().any(|line| line.trim_start().trim_start_matches(['/', '!']).starts_with(" Unlike Kafka,"))
    };
    let differing: Vec<&str> =
        sources.iter().filter(|source| differs(source)).map(|source| source.path.as_str()).collect();
    let named: Vec<&str> = list.split(['(', ')', ' ', '`']).filter(|word| word.starts_with("src/")).collect();
    let untold = differing.iter().filter(|path| !named.contains(path));
    let untold = untold.map(|path| format!("{path} differs from Kafka, and docs/compatibility.md does not name it"));
    let stale = named.iter().filter(|path| !differing.contains(path));
    let stale = stale.map(|path| format!("docs/compatibility.md names {path}, which says nothing of a difference"));
    untold.chain(stale).collect()
}

/// Files that import each other in a circle.
fn untied_circles(sources: &[Source]) -> Vec<String> {
    circles(sources).iter().map(|group| format!("a circle of imports: {}", group.join(", "))).collect()
}

/// Applies a rule to every file of the house and fails with all that is wrong.
fn hold(rule: fn(&Source) -> Vec<String>) {
    report(&sources("src").iter().flat_map(rule).collect::<Vec<_>>());
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

mod the_house {
    use super::*;

    #[test]
    fn imports_point_down() {
        hold(upward_imports);
    }

    #[test]
    fn no_files_import_each_other_in_a_circle() {
        report(&untied_circles(&sources("src")));
    }

    #[test]
    fn pure_modules_know_nothing_of_the_world() {
        hold(impurities);
        report(&stale_pure_paths(&sources("src")));
    }

    #[test]
    fn time_comes_from_the_clock() {
        hold(foreign_timers);
    }

    #[test]
    fn files_and_functions_are_short() {
        hold(too_long_files);
        hold(too_long_functions);
        report(&sources("tests").iter().flat_map(too_long_files).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_unfinished() {
        hold(unfinished);
    }

    #[test]
    fn every_file_says_what_it_is() {
        hold(missing_front_page);
        report(&sources("tests").iter().flat_map(missing_front_page).collect::<Vec<_>>());
    }

    #[test]
    fn every_exception_has_a_reason() {
        hold(unargued_exceptions);
    }

    #[test]
    fn names_say_something() {
        hold(vague_names);
    }

    #[test]
    fn a_type_name_has_one_meaning() {
        report(&twofold_types(&sources("src")));
    }

    #[test]
    fn handlers_and_the_table_are_one_list() {
        report(&unlisted_handlers(&sources("src/api")));
    }

    #[test]
    fn every_planted_bug_is_looked_for() {
        let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        report(&unlisted_bugs(&read("src/planted_bugs.rs"), &read("compat-tests/consistency/planted_bugs.py")));
    }

    #[test]
    fn every_difference_from_kafka_is_told() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compatibility.md"));
        report(&untold_differences(&page.unwrap_or_default(), &sources("src")));
    }

    #[test]
    fn the_readme_is_a_page() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        let lines = readme.lines().count();
        assert!((1..=MOST_README_LINES).contains(&lines), "README.md has {lines} lines; long lists belong in docs/");
    }

    #[test]
    fn every_typed_key_is_read() {
        let keys = [klamm::config::BrokerConfig::KEYS, klamm::config::TopicConfig::KEYS].concat();
        report(&unread_keys(&keys, &sources("src")));
    }
}

mod the_rules {
    use super::*;

    fn refuses(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> bool {
        !rule(&Source::new(path, text)).is_empty()
    }

    #[test]
    fn an_import_that_points_up_is_refused() {
        let refuses = |path: &str, text: &str| refuses(upward_imports, path, text);
        assert!(refuses("src/storage/log.rs", "use crate::broker::Broker;"));
        assert!(refuses("src/storage/log.rs", "use crate::{ids::Uuid, metadata::Image};"));
        assert!(refuses("src/config/mod.rs", "fn a() { super::storage::b() }"));
        assert!(refuses("src/config/file.rs", "use super::super::api::handle;"));
        assert!(refuses("src/somewhere/mod.rs", ""));
        assert!(!refuses("src/storage/log.rs", "use crate::ids::Uuid; use crate::storage::segment; use super::index;"));
        assert!(!refuses(
            "src/config/mod.rs",
            "// crate::api\nuse crate::ids::NodeId; const A: &str = \"crate::api\";"
        ));
    }

    #[test]
    fn an_impurity_is_refused() {
        for text in [
            "use tokio::spawn;",
            "use std::{fs, io};",
            "fn a() { std::time::Instant::now(); }",
            "use std::sync::Mutex;",
        ] {
            assert!(refuses(impurities, "src/config/a.rs", text), "{text}");
            assert!(!refuses(impurities, "src/storage/a.rs", text), "{text}");
            assert!(
                !refuses(impurities, "src/config/a.rs", &format!("#[cfg(test)]\nmod tests {{ {text} }}")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_timer_that_is_not_the_clocks_is_refused() {
        for text in ["use tokio::time::{sleep, Instant};", "async fn a() { tokio::time::timeout(b, c).await }"] {
            assert!(refuses(foreign_timers, "src/network/a.rs", text), "{text}");
            assert!(!refuses(foreign_timers, "src/clock/a.rs", text), "{text}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let body = "    a();\n".repeat(MOST_FUNCTION_LINES);
        assert!(refuses(too_long_functions, "src/a.rs", &format!("fn b(c: [u8; 2]) -> D {{\n{body}}}\n")));
        assert!(!refuses(
            too_long_functions,
            "src/a.rs",
            &format!("trait B {{ fn c(); }}\nfn d() {{}}\nmod e {{\n{body}}}\n")
        ));
        assert!(refuses(too_long_files, "src/a.rs", &"\n".repeat(MOST_LINES + 1)));
    }

    #[test]
    fn what_is_unfinished_or_unargued_is_refused() {
        assert!(refuses(unfinished, "src/a.rs", concat!("// TO", "DO: later")));
        assert!(refuses(unfinished, "src/a.rs", "fn a() { b().unwrap() }"));
        assert!(!refuses(unfinished, "src/a.rs", "#[cfg(test)]\nmod tests { fn a() { b().unwrap() } }"));
        assert!(refuses(missing_front_page, "src/a.rs", "use a;"));
        assert!(refuses(unargued_exceptions, "src/a.rs", "#[expect(dead_code)]\nfn a() {}"));
        assert!(!refuses(
            unargued_exceptions,
            "src/a.rs",
            "#[expect(dead_code, reason = \"b\")]\nfn a() { c.expect(d) }"
        ));
    }

    #[test]
    fn a_vague_name_is_refused() {
        assert!(refuses(vague_names, "src/util.rs", ""));
        assert!(refuses(vague_names, "src/a.rs", "struct ConnectionManager;"));
        assert!(refuses(vague_names, "src/a.rs", "fn get_a() {}"));
        assert!(!refuses(
            vague_names,
            "src/a.rs",
            "struct ReplicaManager; fn target() {}\nimpl A for B { fn get_c() {} }"
        ));
    }

    #[test]
    fn a_name_of_two_types_is_refused() {
        let twofold = |texts: [&str; 2]| {
            let sources = texts.map(|text| Source::new("src/a.rs", text));
            twofold_types(&sources).iter().filter(|wrong| wrong.starts_with("src/")).count()
        };
        assert_eq!(twofold(["pub(super) struct A<B>(B);", "enum A {}"]), 2);
        assert_eq!(twofold(["fn a() {\n    struct A;\n}", "pub trait A: B {}"]), 2);
        assert_eq!(twofold(["type A = u8;", "impl B for C {\n    type A = u8;\n}\nstruct Aa;"]), 0);
        assert_eq!(twofold(["struct A;", "#[cfg(test)]\nmod tests {\n    struct A;\n}"]), 0);
    }

    #[test]
    fn two_lists_that_differ_are_refused() {
        let handler = |path: &str| Source::new(path, "pub async fn handle(a: B) {}");
        let table = || Source::new("src/api/mod.rs", "api_table! {\n    Produce 3..=13 => produce;\n}");
        assert!(unlisted_handlers(&[handler("src/api/produce.rs"), table()]).is_empty());
        assert_eq!(unlisted_handlers(&[handler("src/api/fetch.rs"), table()]).len(), 2);
        let reader = [Source::new("src/server.rs", "fn a() { config.broker.num_partitions_x; config.node_id }")];
        assert_eq!(unread_keys(&["num.partitions", "node.id"], &reader).len(), 1);
        let (planted, script) = ("const NAMES: = &[\n    (\"a\", A),\n];", "BUGS = {\n    \"a\": \"b\",\n}");
        assert!(unlisted_bugs(planted, script).is_empty());
        assert_eq!(unlisted_bugs(planted, &script.replace("\"a\"", "\"c\"")).len(), 2);
        assert_eq!(unlisted_bugs("", script).len(), 2);
    }

    #[test]
    fn a_difference_that_is_not_told_is_refused() {
        let sources = [
            Source::new("src/a.rs", "//! A.\n    // Unlike Kafka, b.\n"),
            Source::new("src/c.rs", "//! `Unlike Kafka,`"),
        ];
        let page = |list: &str| format!("<!-- differences -->{list}<!-- end of differences -->");
        assert!(untold_differences(&page("\n- B (`src/a.rs`).\n"), &sources).is_empty());
        assert_eq!(untold_differences(&page("\n- C (`src/c.rs`).\n"), &sources).len(), 2);
        assert_eq!(untold_differences("", &sources).len(), 1);
    }
}
