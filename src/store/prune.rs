//! What of the shared Lua files a script needs: Redis makes every function of a script anew at each call, so
//! that one which is never called costs time all the same.

use std::collections::HashSet;

/// The shared text without the functions and constants that neither `body` nor anything that stays names.
/// Definitions begin in the first column with `local`; whatever else stands there stays.
pub(super) fn needed(shared: &str, body: &str) -> String {
    let pieces = pieces(shared);
    let mut named: HashSet<&str> = words(body).collect();
    for piece in pieces.iter().filter(|piece| piece.name.is_none()) {
        named.extend(words(&piece.text));
    }
    // A function can only name what stands above it, so that one way from the end to the start is enough.
    let mut kept = Vec::new();
    for piece in pieces.iter().rev() {
        if piece.name.is_none_or(|name| named.contains(name)) {
            named.extend(words(&piece.text));
            kept.push(piece.text.as_str());
        }
    }
    kept.reverse();
    kept.join("\n")
}

/// A definition, or a line that is none.
struct Piece<'a> {
    name: Option<&'a str>,
    text: String,
}

fn pieces(shared: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut lines = shared.lines();
    while let Some(first) = lines.next() {
        if first.is_empty() || first.starts_with("--") {
            continue;
        }
        let mut text = first.to_owned();
        let last = last_line(first);
        while let Some(last) = last {
            let Some(line) = lines.next() else { break };
            text.push('\n');
            text.push_str(line);
            if line.starts_with(last) {
                break;
            }
        }
        let name = defined(first);
        pieces.push(Piece { name, text });
    }
    pieces
}

/// What the last line of a definition of many lines begins with.
fn last_line(first: &str) -> Option<&'static str> {
    let function = first.starts_with("local function ") && !first.ends_with(" end");
    let table = first.ends_with('{');
    match (function, table) {
        (true, _) => Some("end"),
        (false, true) => Some("}"),
        (false, false) => None,
    }
}

/// The one name that a line defines.
fn defined(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("local ")?;
    if let Some(function) = rest.strip_prefix("function ") {
        return function.split('(').next();
    }
    let (name, _) = rest.split_once(" = ")?;
    (!name.contains(',')).then_some(name)
}

/// Every identifier of a text, comments at a line's end left out.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.lines()
        .map(|line| match line.split_once("-- ") {
            Some((code, comment)) if !comment.contains(['\'', '"']) => code,
            _ => line,
        })
        .flat_map(move |line| line.split(move |c| !is_part(c)))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "\
-- shared: things.
local LIMIT = 3
local RANKS = { low = 1, high = 2 }
local LONG = {
  1,
}

local function rank(x) return RANKS[x] end

-- Says what unused does.
local function first(x)
  if x then
    return rank(x) -- not second
  end
end

local function unused() return first(LIMIT) end
local A, B = 1, 2";

    #[test]
    fn what_is_named_stays_with_all_that_it_names() {
        let text = needed(SHARED, "return first(ARGV[1])");
        for stays in [
            "local RANKS",
            "function rank",
            "function first",
            "local A, B",
        ] {
            assert!(text.contains(stays), "{stays}: {text}");
        }
        for goes in ["LIMIT", "LONG", "unused", "-- Says"] {
            assert!(!text.contains(goes), "{goes}: {text}");
        }
        assert!(text.contains("    return rank(x) -- not second\n  end\nend"));
    }

    #[test]
    fn a_table_of_many_lines_is_one_piece() {
        let text = needed(SHARED, "return LONG[1]");
        assert_eq!(text, "local LONG = {\n  1,\n}\nlocal A, B = 1, 2");
    }

    #[test]
    fn a_name_in_a_text_that_looks_like_a_comment_counts() {
        assert!(needed(SHARED, "return '-- ' .. unused('x')").contains("unused"));
    }
}
