//! `${VAR}` in the values of a YAML file: what stands in the environment is put there after the file has been read, so that
//! no variable can add a line or a key.

use std::collections::BTreeMap;

/// Environment variables by name.
pub type Environment = BTreeMap<String, String>;

/// A value with its variables replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Interpolated {
    pub(super) text: String,
    /// The variables that decided it: `PORT`, or `PORT, which is unset` where its default holds.
    pub(super) variables: Vec<String>,
}

/// Replaces `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, and `$$` by a dollar. As in a shell, `:-` and `:?` take an empty
/// variable for an unset one. Any other dollar stays.
///
/// Errors: the reason alone.
pub(super) fn interpolate(written: &str, environment: &Environment) -> Result<Interpolated, String> {
    let mut result = Interpolated::default();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('$') {
        result.text.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            result.text.push('$');
            after
        } else if let Some(after) = after.strip_prefix('{') {
            let (inner, after) = after
                .split_once('}')
                .filter(|(inner, _)| !inner.contains("${"))
                .ok_or_else(|| format!("\"${{{after}\" has no closing brace of its own; $$ is a dollar"))?;
            replace(inner, environment, &mut result)?;
            after
        } else {
            result.text.push('$');
            after
        };
    }
    result.text.push_str(rest);
    Ok(result)
}

/// Adds what `${inner}` stands for.
fn replace(inner: &str, environment: &Environment, result: &mut Interpolated) -> Result<(), String> {
    let end = inner.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let (name, operation) = inner.split_at(end.unwrap_or(inner.len()));
    let value = environment.get(name).map(String::as_str);
    let filled = value.filter(|value| !value.is_empty());
    let is_name = !name.is_empty() && !name.starts_with(|character: char| character.is_ascii_digit());
    if let Some(default) = operation.strip_prefix(":-").filter(|_| is_name) {
        result.text.push_str(filled.unwrap_or(default));
        result.variables.push(if filled.is_some() { name.to_owned() } else { format!("{name}, which is unset") });
        return Ok(());
    }
    let found = match operation.strip_prefix(":?") {
        Some(message) if is_name => {
            filled.ok_or_else(|| format!("the environment variable {name} is not set: {message}"))
        }
        None if is_name && operation.is_empty() => value
            .ok_or_else(|| format!("the environment variable {name} is not set; ${{{name}:-default}} gives a default")),
        _ => Err(format!(
            "\"${{{inner}}}\" is none of ${{NAME}}, ${{NAME:-default}}, ${{NAME:?message}}; $$ is a dollar"
        )),
    };
    result.text.push_str(found?);
    result.variables.push(name.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(written: &str) -> Result<(String, String), String> {
        let environment = [("PORT", "9092"), ("EMPTY", ""), ("NESTED", "${PORT}")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        interpolate(written, &environment).map(|text| (text.text, text.variables.join("; ")))
    }

    #[test]
    fn variables_are_replaced_once() {
        for (written, text, variables) in [
            ("plain", "plain", ""),
            ("h:${PORT}", "h:9092", "PORT"),
            ("${EMPTY}|${EMPTY:-x}|${NOT:-}", "|x|", "EMPTY; EMPTY, which is unset; NOT, which is unset"),
            ("${PORT:?say it}${PORT:-1}", "90929092", "PORT; PORT"),
            ("${NESTED}", "${PORT}", "NESTED"),
            ("$${PORT} $PORT a$ $", "${PORT} $PORT a$ $", ""),
        ] {
            assert_eq!(of(written), Ok((text.to_owned(), variables.to_owned())), "{written}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_told() {
        let refusal = |written: &str| of(written).expect_err(written);
        assert_eq!(refusal("${NOT}"), "the environment variable NOT is not set; ${NOT:-default} gives a default");
        assert_eq!(refusal("${EMPTY:?say it}"), "the environment variable EMPTY is not set: say it");
        assert_eq!(refusal("${PORT"), "\"${PORT\" has no closing brace of its own; $$ is a dollar");
        assert!(refusal("${NOT:-${PORT}}").contains("no closing brace of its own"));
        for written in ["${}", "${1}", "${A B}", "${PORT-x}", "${env:PORT}"] {
            assert!(refusal(written).contains("is none of ${NAME}"), "{written}");
        }
    }
}
