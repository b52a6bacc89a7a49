//! The configs that a command line of `kafka-configs` gives and takes.

use super::super::asking::{ToolFailure, read_properties};
use super::options::ConfigsOptions;

/// The configs to set, in their order; a later value of a key is the stronger.
pub(super) fn added(options: &ConfigsOptions) -> Result<Vec<(String, String)>, ToolFailure> {
    let mut pairs = match &options.add_config_file {
        Some(file) => read_properties(file)?,
        None => Vec::new(),
    };
    if let Some(text) = &options.add_config {
        pairs.extend(pairs_in(text)?);
    }
    let is_legal = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    if let Some((key, _)) = pairs.iter().find(|(key, _)| !key.chars().all(is_legal)) {
        return Err(ToolFailure::told(format!("Invalid character found for config key: {key}")));
    }
    let mut added: Vec<(String, String)> = Vec::new();
    for (key, value) in pairs {
        added.retain(|(known, _)| *known != key);
        added.push((key, value));
    }
    Ok(added)
}

/// The keys to remove.
pub(super) fn deleted(options: &ConfigsOptions) -> Vec<String> {
    options.delete_config.iter().map(|key| key.trim().to_owned()).collect()
}

/// The pairs in `k1=v1,k2=[v1,v2]`: what is in brackets is one value.
fn pairs_in(text: &str) -> Result<Vec<(String, String)>, ToolFailure> {
    let mut parts = split_outside(text, ',');
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    let pair = |part: &&str| match split_outside(part, '=').as_slice() {
        [key, value] => Some((key.trim().to_owned(), value.replace(['[', ']'], "").trim().to_owned())),
        _ => None,
    };
    let pairs: Option<Vec<_>> = parts.iter().map(pair).collect();
    pairs.ok_or_else(|| {
        let format = "\"key=val\" or \"key=[val1,val2]\" to group values which contain commas.";
        let message = "Invalid entity config: all configs to be added must be in the format";
        ToolFailure::told(format!("requirement failed: {message} {format}"))
    })
}

/// `text` split at each `separator` that does not stand in brackets: behind it no bracket closes before one opens.
fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for (place, _) in text.match_indices(separator) {
        let rest = text.get(place + 1..).unwrap_or_default();
        let closes = rest.find(']');
        let is_outside = closes.is_none_or(|closes| rest.find('[').is_some_and(|opens| opens < closes));
        if is_outside {
            parts.push(text.get(begin..place).unwrap_or_default());
            begin = place + 1;
        }
    }
    parts.push(text.get(begin..).unwrap_or_default());
    parts
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let options = ConfigsOptions::try_parse_from(["kafka-configs", "--add-config", text]).unwrap();
        added(&options).map_err(|failure| failure.to_string())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_stands_in_brackets_is_one_value() {
        assert_eq!(read("a=1,b=[x,y],c=3").unwrap(), pairs(&[("a", "1"), ("b", "x,y"), ("c", "3")]));
        assert_eq!(read("S=[iterations=5,password=p]").unwrap(), pairs(&[("S", "iterations=5,password=p")]));
        assert_eq!(read("a = 1 , b=,").unwrap(), pairs(&[("a", "1"), ("b", "")]));
        assert_eq!(read("a=1,a=2").unwrap(), pairs(&[("a", "2")]));
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        assert!(read("a").expect_err("no value").starts_with("requirement failed: Invalid entity config"));
        assert!(read("a=b=c").is_err());
        assert_eq!(read("a b=c"), Err("Invalid character found for config key: a b".to_owned()));
    }
}
