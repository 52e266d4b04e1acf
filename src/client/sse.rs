//! Server-sent events out of a stream of bytes. Pure: bytes in, events out.

/// An event as it came over the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// The id that a client goes on behind.
    pub(super) id: Option<String>,
    /// What it is; `message` where nothing is said.
    pub(super) event: String,
    /// Its lines, joined. Empty in one that only says where the stream stands.
    pub(super) data: String,
}

/// A line longer than this is none of ours, bytes.
const LINE_MAX_BYTES: usize = 1024 * 1024;

/// Gathers lines until an event is whole.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed right behind it ends no other line.
    after_return: bool,
    id: Option<String>,
    event: String,
    data: Vec<String>,
}

impl Parser {
    /// Takes bytes as they come; the events that they make whole. `None` where a line is too long.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<Vec<Frame>> {
        let mut whole = Vec::new();
        for &byte in bytes {
            let was_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if was_return => {}
                b'\n' | b'\r' => whole.extend(self.end_line()),
                _ if self.line.len() >= LINE_MAX_BYTES => return None,
                _ => self.line.push(byte),
            }
        }
        Some(whole)
    }

    fn end_line(&mut self) -> Option<Frame> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.is_empty() {
            return self.end_event();
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event),
            "data" => self.data.push(value.to_owned()),
            // A comment keeps the connection alive; other fields are for browsers.
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<Frame> {
        let (event, data) = (
            std::mem::take(&mut self.event),
            std::mem::take(&mut self.data),
        );
        let id = self.id.take();
        if data.is_empty() && id.is_none() {
            return None;
        }
        let event = if event.is_empty() {
            "message".to_owned()
        } else {
            event
        };
        let data = data.join("\n");
        Some(Frame { id, event, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: Option<&str>, event: &str, data: &str) -> Frame {
        let id = id.map(str::to_owned);
        let (event, data) = (event.to_owned(), data.to_owned());
        Frame { id, event, data }
    }

    #[test]
    fn events_come_out_the_same_however_the_bytes_are_cut() {
        let text = ": alive\n\nid: 1-0\nevent: queued\ndata: {\"a\":\"\u{e9}\"}\n\nid:2-0\r\ndata:x\r\ndata: y\r\n\r\nevent: gap\n\ndata\rid: 3\r\r";
        let expected = [
            frame(Some("1-0"), "queued", "{\"a\":\"\u{e9}\"}"),
            frame(Some("2-0"), "message", "x\ny"),
            frame(Some("3"), "message", ""),
        ];
        for step in 1..text.len() {
            let mut parser = Parser::default();
            let cuts = text.as_bytes().chunks(step);
            let found: Vec<Frame> = cuts.flat_map(|cut| parser.take(cut).unwrap()).collect();
            assert_eq!(found, expected, "{step}");
        }
    }

    #[test]
    fn an_event_that_is_not_whole_is_none() {
        let mut parser = Parser::default();
        assert_eq!(parser.take(b"id: 1\ndata: x\n"), Some(Vec::new()));
        assert_eq!(
            parser.take(b"\n"),
            Some(vec![frame(Some("1"), "message", "x")])
        );
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; LINE_MAX_BYTES];
        assert_eq!(parser.take(&piece), Some(Vec::new()));
        assert_eq!(parser.take(b"x"), None);
    }
}
