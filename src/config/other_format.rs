//! Files whose content is of another format than their name says.

use super::file_entry::Fault;
use super::sections;

/// Whether a file of that name holds Java properties; any other holds YAML.
pub(super) fn is_properties(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension == "properties")
}

/// What is wrong with the file called `name` if it holds, in whole or in part, the format that its name does not say.
pub(super) fn other_format(name: &str, text: &str) -> Vec<Fault> {
    if is_properties(name) {
        yaml_in_properties(name, text).into_iter().collect()
    } else {
        properties_in_yaml(name, text)
    }
}

/// Lines that neither are indented nor comments, from 1.
fn outer_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with([' ', '\t', '#', '!']))
}

/// A line's name, what separates it from the rest, and the rest.
fn parts(line: &str) -> Option<(&str, char, &str)> {
    let end = line.find(|character: char| !character.is_ascii_alphanumeric() && !"._-".contains(character))?;
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let mark = rest.chars().next().filter(|mark| !name.is_empty() && matches!(mark, '=' | ':'))?;
    Some((name, mark, rest.get(1..).unwrap_or_default().trim()))
}

/// No line of YAML begins with a name and an equals sign.
fn properties_in_yaml(name: &str, text: &str) -> Vec<Fault> {
    let lines = || outer_lines(text).filter_map(|(line, written)| Some((line, written, parts(written)?)));
    let mut assignments = lines().filter(|(_, _, (_, mark, _))| *mark == '=').peekable();
    let Some((line, written, _)) = assignments.peek().copied() else { return Vec::new() };
    if lines().any(|(_, _, (_, mark, _))| mark == ':') {
        return assignments
            .map(|(line, written, (name, _, value))| {
                Fault::new(line, format!("\"{written}\" is a line of Java properties among YAML"))
                    .with_hint(format!("{name}: {value}"))
            })
            .collect();
    }
    let renamed = with_extension(name, "properties");
    vec![
        Fault::new(line, format!("the file holds Java properties, such as \"{written}\", and by its name it is YAML"))
            .with_hint(format!("name it {renamed}, or write its lines as \"name: value\" below \"properties:\"")),
    ]
}

/// A section with indented lines below it, an element of a list, or a line between documents is no property.
fn yaml_in_properties(name: &str, text: &str) -> Option<Fault> {
    let is_continued =
        |line: usize| line > 1 && text.lines().nth(line - 2).is_some_and(|before| before.ends_with('\\'));
    let (line, written) = outer_lines(text).find(|(line, written)| {
        let is_section = parts(written).is_some_and(|(name, mark, rest)| {
            let has_inner = || text.lines().nth(*line).is_some_and(is_inner_yaml);
            mark == ':'
                && if rest.is_empty() {
                    has_inner()
                } else {
                    sections::is_section(name) && rest.starts_with(['{', '['])
                }
        });
        !is_continued(*line) && (is_section || *written == "---" || written.starts_with("- "))
    })?;
    let renamed = with_extension(name, "yaml");
    let fault =
        Fault::new(line, format!("the file holds YAML, such as \"{written}\", and by its name Java properties"));
    Some(fault.with_hint(format!("name it {renamed}, or write it as \"name=value\" lines with Kafka's names")))
}

fn is_inner_yaml(line: &str) -> bool {
    let inner = line.trim();
    inner.starts_with("- ") || (line.starts_with(' ') && (inner.contains(": ") || inner.ends_with(':')))
}

fn with_extension(name: &str, extension: &str) -> String {
    let end = name.rfind('/').map_or(0, |slash| slash + 1);
    let (folder, file) = name.split_at(end);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    format!("{folder}{stem}.{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, text: &str) -> Vec<String> {
        let told = |fault: Fault| format!("{}: {} ({})", fault.line, fault.reason, fault.hint.unwrap_or_default());
        other_format(name, text).into_iter().map(told).collect()
    }

    #[test]
    fn properties_are_told_from_yaml() {
        assert_eq!(
            told("/etc/k.d/klamm.conf", "# Kafka\nnode.id = 3\nlisteners=A://:1,\\\n  B://:2\n"),
            ["2: the file holds Java properties, such as \"node.id = 3\", and by its name it is YAML (name it \
             /etc/k.d/klamm.properties, or write its lines as \"name: value\" below \"properties:\")"]
        );
        assert_eq!(
            told("k.yaml", "node: {id: 1}\nnum.partitions=3\n"),
            ["2: \"num.partitions=3\" is a line of Java properties among YAML (num.partitions: 3)"]
        );
        for text in ["a: b=c", "a: |\n  b=c", "\"a=b\": c", "- a=b", "", "a: 1 # b=c"] {
            assert_eq!(told("k.yaml", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn yaml_is_told_from_properties() {
        let yaml = ["# c\nnode:\n  id: 3\n", "listeners:\n- bind: x\n", "---\na: b", "node: {id: 1}", "topics: [a]"];
        for text in yaml {
            let told = told("server.properties", text);
            assert!(told.len() == 1 && told[0].contains("name it server.yaml"), "{text}: {told:?}");
        }
        for text in ["a: b\nc:d", "broker.rack:\nnode.id: 1", "a=\\\n- b", "a:\n b=c", "listeners: A://:1", "x: {y"] {
            assert_eq!(told("server.properties", text), [""; 0], "{text}");
        }
    }
}
