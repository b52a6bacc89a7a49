//! Which files import each other in a circle.
//!
//! A file imports another where it names its module, or something that a folder's front page hands on from there. What a
//! file uses of the folders that it lies in does not count: a front page and its rooms are one thing.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, item_end, paths};

/// The files by the modules that they are.
type Modules<'a> = BTreeMap<Vec<&'a str>, &'a Source>;

/// Every group of files, each by its path, in which all reach all others by imports.
pub(crate) fn circles(sources: &[Source]) -> Vec<Vec<&str>> {
    let modules: Modules<'_> = sources.iter().map(|source| (source.modules(), source)).collect();
    let imports: BTreeMap<&str, BTreeSet<&str>> =
        sources.iter().map(|source| (source.path.as_str(), imports(source, &modules))).collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|path| (*path, reachable(path, &imports))).collect();
    let mutual = |path: &str| -> Vec<&str> {
        let others = reached[path].iter().filter(|other| reached[**other].contains(path));
        others.copied().collect()
    };
    let groups: BTreeSet<Vec<&str>> = imports.keys().map(|path| mutual(path)).filter(|group| group.len() > 1).collect();
    groups.into_iter().collect()
}

fn reachable<'a>(from: &str, imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(path) = open.pop() {
        for next in imports.get(path).into_iter().flatten() {
            if reached.insert(*next) {
                open.push(next);
            }
        }
    }
    reached
}

fn imports<'a>(source: &Source, modules: &Modules<'a>) -> BTreeSet<&'a str> {
    let own = source.modules();
    let target = |(_, path): (usize, String)| {
        let names: Vec<&str> = path.split("::").collect();
        resolve(&absolute(&names, &own, modules)?, modules, 8)
    };
    let is_outside = |target: &&Source| !own.starts_with(&target.modules());
    paths(&source.shipped)
        .into_iter()
        .filter_map(target)
        .filter(is_outside)
        .map(|target| target.path.as_str())
        .collect()
}

/// The path from the crate's root, where it is one into the crate.
fn absolute<'b>(names: &[&'b str], own: &[&'b str], modules: &Modules<'_>) -> Option<Vec<&'b str>> {
    let supers = names.iter().take_while(|name| **name == "super").count();
    match names.first()? {
        &"crate" => Some(names[1..].to_vec()),
        &"self" => Some([own, &names[1..]].concat()),
        _ if supers > 0 => Some([own.get(..own.len().checked_sub(supers)?)?, &names[supers..]].concat()),
        child => {
            let is_child = modules.contains_key(&[own, &[*child]].concat());
            is_child.then(|| [own, names].concat())
        }
    }
}

/// The file that what the path names is in; `hops` bounds how often it is handed on.
fn resolve<'a>(path: &[&str], modules: &Modules<'a>, hops: usize) -> Option<&'a Source> {
    let depth = (1..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth]))?;
    let (module, rest) = path.split_at(depth);
    let file = modules.get(module)?;
    let Some(name) = rest.first().filter(|_| hops > 0) else { return Some(file) };
    let handed_on = re_exports(file).into_iter().find(|path| path.rsplit("::").next() == Some(name));
    match handed_on {
        Some(from) => {
            let names: Vec<&str> = from.split("::").collect();
            resolve(&absolute(&names, module, modules)?, modules, hops - 1)
        }
        None => Some(file),
    }
}

/// The paths that the file hands on by `pub use`.
fn re_exports(source: &Source) -> Vec<String> {
    let starts = source.shipped.match_indices("pub use ").map(|(start, keyword)| start + keyword.len());
    starts
        .flat_map(|start| paths(&source.shipped[start..item_end(&source.shipped, start)]))
        .map(|(_, path)| path)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        circles(&sources).iter().map(|group| group.iter().map(|path| (*path).to_owned()).collect()).collect()
    }

    #[test]
    fn files_that_import_each_other_are_found_by_every_way_to_write_it() {
        let there = ("src/a/b.rs", "use super::c::D;");
        let circle = [["src/a/b.rs", "src/a/c.rs"]];
        for back in ["use super::b::E;", "use crate::a::b;", "fn f() { super::b::g() }", "use super::{b::{E}, H};"] {
            assert_eq!(circles_of(&[("src/a/mod.rs", "mod b; mod c;"), there, ("src/a/c.rs", back)]), circle, "{back}");
        }
        let page = ("src/a/mod.rs", "mod b; mod c; pub use self::b::{E, F};");
        assert_eq!(circles_of(&[page, there, ("src/a/c.rs", "use super::E;")]), circle);
        assert!(circles_of(&[page, there, ("src/a/c.rs", "use super::I;")]).is_empty());
    }

    #[test]
    fn longer_circles_and_folders_are_found() {
        let files = [
            ("src/a/b/mod.rs", "mod c;"),
            ("src/a/b/c.rs", "use crate::a::d::E;"),
            ("src/a/d.rs", "use super::f::G;"),
            ("src/a/f.rs", "use super::b::c::H;"),
            ("src/a/i.rs", "use super::f::G;"),
        ];
        assert_eq!(circles_of(&files), [["src/a/b/c.rs", "src/a/d.rs", "src/a/f.rs"]]);
    }

    #[test]
    fn a_front_page_and_tests_make_no_circle() {
        let files = [
            ("src/a/mod.rs", "mod b; use b::C; struct D;"),
            ("src/a/b.rs", "use super::D; #[cfg(test)]\nmod tests { use crate::a::e::F; }"),
            ("src/a/e.rs", "use super::b::C;"),
        ];
        assert!(circles_of(&files).is_empty());
    }
}
