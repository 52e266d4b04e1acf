//! Redis's protocol, as little of it as a proxy needs.

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// A connection, as requests and replies.
pub(in crate::support) struct Wire<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(in crate::support) fn new(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// The words of the next request; nothing where the other side has gone.
    pub(in crate::support) async fn request(&mut self) -> Option<Vec<Vec<u8>>> {
        let head = self.line().await?;
        assert_eq!(head[0], b'*', "clients send lists");
        let mut words = Vec::new();
        for _ in 0..number(&head) {
            let head = self.line().await?;
            let mut word = vec![0; usize::try_from(number(&head)).ok()? + 2];
            self.stream.read_exact(&mut word).await.ok()?;
            word.truncate(word.len() - 2);
            words.push(word);
        }
        Some(words)
    }

    pub(in crate::support) async fn say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes).await
    }

    /// Sends a request and takes its whole reply as it came.
    pub(in crate::support) async fn ask(&mut self, words: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).into_bytes());
            bytes.extend(word);
            bytes.extend(b"\r\n");
        }
        self.say(&bytes).await.ok()?;
        self.reply().await
    }

    async fn reply(&mut self) -> Option<Vec<u8>> {
        let (mut all, mut open) = (Vec::new(), 1_i64);
        while open > 0 {
            open -= 1;
            let head = self.line().await?;
            all.extend(&head);
            match head[0] {
                b'*' => open += number(&head).max(0),
                b'$' if number(&head) >= 0 => {
                    let mut bulk = vec![0; usize::try_from(number(&head)).ok()? + 2];
                    self.stream.read_exact(&mut bulk).await.ok()?;
                    all.extend(bulk);
                }
                _ => {}
            }
        }
        Some(all)
    }

    async fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let read = self.stream.read_until(b'\n', &mut line).await.ok()?;
        (read > 0).then_some(line)
    }
}

fn number(head: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(&head[1..]).into_owned();
    text.trim().parse().expect("a number")
}

/// Takes a pair apart whose first half is a text: the text, and the second half as it came.
pub(super) fn unwrap(reply: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let rest = reply.strip_prefix(b"*2\r\n")?;
    let end = rest.iter().position(|byte| *byte == b'\n')? + 1;
    let length = usize::try_from(number(&rest[..end])).ok()?;
    let text = rest.get(end..end + length)?;
    Some((text.to_vec(), rest[end + length + 2..].to_vec()))
}

/// The first text of a reply.
pub(super) fn first_word(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply).into_owned();
    let words = text
        .split("\r\n")
        .filter(|line| !line.starts_with(['*', '$']));
    words.map(str::to_owned).next().unwrap_or_default()
}

/// How many lists a reply is a list of.
pub(super) fn rows(reply: &[u8]) -> Option<usize> {
    let end = reply.iter().position(|byte| *byte == b'\n')? + 1;
    let is_list_of_lists = reply.starts_with(b"*") && reply[end..].starts_with(b"*");
    is_list_of_lists.then(|| usize::try_from(number(&reply[..end])).ok())?
}
