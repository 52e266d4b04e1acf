//! The guard lines of the Lua files, and what becomes of a file when one of them is taken out.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};

/// All Lua files: `settle` or `lib/hold` -> text.
pub(crate) type Files = BTreeMap<String, String>;

/// One line that is marked `-- guard: name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guard {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) name: String,
    code: String,
}

/// A guard taken out in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mutant {
    pub(crate) guard: Guard,
    pub(crate) how: How,
    code: String,
}

/// In which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The whole line is gone.
    Gone,
    /// Its condition never holds.
    Never,
    /// Its condition always holds.
    Always,
}

impl How {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Never => "never",
            Self::Always => "always",
        }
    }
}

/// Reads every Lua file below `dir`.
pub(crate) fn read(dir: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for (folder, prefix) in [(dir.to_owned(), ""), (dir.join("lib"), "lib/")] {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            if path.extension().is_some_and(|e| e == "lua") {
                files.insert(format!("{prefix}{stem}"), std::fs::read_to_string(&path)?);
            }
        }
    }
    Ok(files)
}

/// Writes them below `dir`.
pub(crate) fn write(files: &Files, dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir.join("lib"))?;
    for (name, text) in files {
        std::fs::write(dir.join(format!("{name}.lua")), text)?;
    }
    Ok(())
}

/// Every guard there is. No two have the same name.
pub(crate) fn all(files: &Files) -> anyhow::Result<Vec<Guard>> {
    let mut found: Vec<Guard> = Vec::new();
    for (file, text) in files {
        for (n, line) in text.lines().enumerate() {
            let Some((code, name)) = line.split_once("-- guard: ") else {
                continue;
            };
            let guard = Guard {
                file: file.clone(),
                line: n + 1,
                name: name.trim().to_owned(),
                code: code.trim_end().to_owned(),
            };
            if found.iter().any(|other| other.name == guard.name) {
                bail!("two guards are called {}", guard.name);
            }
            found.push(guard);
        }
    }
    Ok(found)
}

/// The script files that a Lua file is part of: itself, or those that use it.
pub(crate) fn scripts_of(files: &Files, file: &str) -> Vec<String> {
    let Some(library) = file.strip_prefix("lib/") else {
        return vec![file.to_owned()];
    };
    let uses = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("-- uses: "));
        line.is_some_and(|parts| parts.split(", ").any(|part| part == library))
    };
    let scripts = files.iter().filter(|(name, _)| !name.starts_with("lib/"));
    let users = scripts.filter(|(_, text)| uses(text));
    users.map(|(name, _)| name.clone()).collect()
}

impl Guard {
    /// The ways to take it out. A refusal on one line goes as a whole; the head of a block never holds,
    /// and always; what does something else under a condition goes, and is done always.
    pub(crate) fn mutants(&self) -> anyhow::Result<Vec<Mutant>> {
        let code = self.code.as_str();
        let indent = &code[..code.len() - code.trim_start().len()];
        let words = code.trim_start();
        let mutant = |how, code: String| Mutant {
            guard: self.clone(),
            how,
            code,
        };
        let gone = mutant(How::Gone, String::new());
        for head in ["if ", "elseif "] {
            if words.starts_with(head) && words.ends_with(" then") {
                let never = format!("{indent}{head}false then");
                let always = format!("{indent}{head}true then");
                return Ok(vec![mutant(How::Never, never), mutant(How::Always, always)]);
            }
        }
        if let Some((_, then)) = words
            .split_once(" then ")
            .filter(|_| words.starts_with("if "))
        {
            let Some(then) = then.strip_suffix(" end") else {
                bail!(
                    "{}: a guard that is neither a line nor a head: {words}",
                    self.name
                );
            };
            let leaves = ["return", "break"]
                .iter()
                .any(|word| then.starts_with(word));
            if leaves || then.contains(" elseif ") || then.contains(" else ") {
                return Ok(vec![gone]);
            }
            return Ok(vec![gone, mutant(How::Always, format!("{indent}{then}"))]);
        }
        if words.starts_with("local ")
            || words.is_empty()
            || !words.starts_with(char::is_alphabetic)
        {
            bail!(
                "{}: write it so that its line can go alone: {words}",
                self.name
            );
        }
        Ok(vec![gone])
    }

    /// The line, saying in the server's log that it was at work.
    fn watched(&self) -> String {
        let log = format!("redis.log(redis.LOG_WARNING, 'guard:{}')", self.name);
        match self.code.split_once(" then") {
            Some((condition, rest)) => format!("{condition} then {log}{rest}"),
            None => format!("{log} {}", self.code.trim_start()),
        }
    }
}

impl Mutant {
    /// `settle_once/never`
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.guard.name, self.how.word())
    }

    /// The file with the guard taken out.
    pub(crate) fn text(&self, original: &str) -> String {
        replaced(original, self.guard.line, &self.code)
    }
}

/// All files with every guard and every script telling the server's log when it is at work.
pub(crate) fn watched(files: &Files, guards: &[Guard]) -> Files {
    let mut watched = files.clone();
    for guard in guards {
        if let Some(text) = watched.get_mut(&guard.file) {
            *text = replaced(text, guard.line, &guard.watched());
        }
    }
    for (name, text) in &mut watched {
        if !name.starts_with("lib/") {
            let log = format!("redis.log(redis.LOG_WARNING, 'script:{name}')");
            // The first empty line ends the header.
            *text = text.replacen("\n\n", &format!("\n{log}\n"), 1);
        }
    }
    watched
}

fn replaced(text: &str, line: usize, code: &str) -> String {
    let lines = text.lines().enumerate();
    let lines = lines.map(|(n, old)| if n + 1 == line { code } else { old });
    let mut new = lines.collect::<Vec<_>>().join("\n");
    new.push('\n');
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(code: &str) -> Vec<(How, String)> {
        let files = Files::from([("a".to_owned(), format!("{code} -- guard: g\n"))]);
        let guard = all(&files).expect("guards").remove(0);
        let mutants = guard.mutants().expect("mutants");
        let texts = mutants.iter().map(|m| (m.how, m.text(&files["a"])));
        texts
            .map(|(how, text)| (how, text.trim_end().to_owned()))
            .collect()
    }

    #[test]
    fn a_guard_goes_in_the_ways_that_its_line_allows() {
        let table: [(&str, &[(How, &str)]); 6] = [
            ("if a then return { 'b' } end", &[(How::Gone, "")]),
            (
                "  if a then x = 1 end",
                &[(How::Gone, ""), (How::Always, "  x = 1")],
            ),
            (
                "if a then",
                &[(How::Never, "if false then"), (How::Always, "if true then")],
            ),
            (
                "  elseif a and b then",
                &[
                    (How::Never, "  elseif false then"),
                    (How::Always, "  elseif true then"),
                ],
            ),
            ("return { 'a' }", &[(How::Gone, "")]),
            (
                "if a then b = 0 elseif c then return 1 end",
                &[(How::Gone, "")],
            ),
        ];
        for (code, expected) in table {
            let expected: Vec<_> = expected
                .iter()
                .map(|(how, text)| (*how, (*text).to_owned()))
                .collect();
            assert_eq!(ways(code), expected, "{code}");
        }
    }

    #[test]
    fn a_line_that_cannot_go_alone_is_refused() {
        for code in ["local a = b()", "  < c", "if a then b() end; d()"] {
            let files = Files::from([("a".to_owned(), format!("{code} -- guard: g\n"))]);
            let guard = all(&files).expect("guards").remove(0);
            assert!(guard.mutants().is_err(), "{code}");
        }
    }
}
