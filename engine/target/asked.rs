//! What a connection string asks of TLS, taken off it: the driver knows neither `verify-full` nor a file of
//! authorities, and libpq's other words about encryption are refused by name rather than ignored.

use std::borrow::Cow;

/// What `sslmode` may say, by what it means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SslMode {
    /// `disable`.
    Disable,
    /// `allow`, `prefer`: whatever the server has. Says nothing here, for nothing falls back to plain text.
    Whatever,
    /// `require`.
    Require,
    /// `verify-ca`, `verify-full`: both check the name as well.
    Verify,
}

/// The words about TLS in one connection string; a later one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) mode: Option<SslMode>,
    /// `sslmode` as it is written, for people.
    pub(super) written: String,
    pub(super) sslrootcert: Option<String>,
    pub(super) sslcert: Option<String>,
    pub(super) sslkey: Option<String>,
}

const NOT_UNDERSTOOD: &str = "cannot be understood: neither a URL nor key=value pairs";

/// Parts the words about TLS from the rest, which is left as it was written.
///
/// # Errors
/// The rest of a sentence that begins with "the connection string": a word that is not understood or not spoken here.
/// Never a value that could be a secret.
pub(super) fn part(text: &str) -> Result<(String, Asked), String> {
    let mut asked = Asked::default();
    let scheme = ["postgresql://", "postgres://"].into_iter().find(|scheme| text.starts_with(scheme));
    let rest = match scheme {
        Some(scheme) => of_url(text, scheme.len(), &mut asked)?,
        None => of_pairs(text, &mut asked)?,
    };
    Ok((rest, asked))
}

impl Asked {
    /// Takes the parameter if it is about encryption; `false`: it is the driver's.
    fn take(&mut self, key: &str, value: &str) -> Result<bool, String> {
        match key {
            "sslmode" => {
                self.mode = Some(match value {
                    "disable" => SslMode::Disable,
                    "allow" | "prefer" => SslMode::Whatever,
                    "require" => SslMode::Require,
                    "verify-ca" | "verify-full" => SslMode::Verify,
                    _ => {
                        return Err("has an `sslmode` that PostgreSQL does not know; it knows `disable`, `allow`, \
                                    `prefer`, `require`, `verify-ca` and `verify-full`"
                            .to_owned());
                    }
                });
                value.clone_into(&mut self.written);
            }
            // As libpq takes it from the strings of JDBC.
            "ssl" if value == "true" => {
                self.mode = Some(SslMode::Require);
                "require".clone_into(&mut self.written);
            }
            "sslrootcert" => self.sslrootcert = filled(value),
            "sslcert" => self.sslcert = filled(value),
            "sslkey" => self.sslkey = filled(value),
            // What these ask for is what is done anyway.
            "sslcompression" if value == "0" => {}
            "sslsni" if value == "1" => {}
            "sslnegotiation" if value == "postgres" => {}
            "gssencmode" if value == "disable" || value == "prefer" => {}
            "ssl_min_protocol_version" if ["TLSv1", "TLSv1.1", "TLSv1.2"].contains(&value) => {}
            _ if key.starts_with("ssl") || key.starts_with("gss") => {
                return Err(format!("has the parameter `{key}` with a value that this engine cannot do as it says"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn filled(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// `postgresql://user:password@host/database?key=value&...`, parted where the driver parts it.
fn of_url(text: &str, scheme: usize, asked: &mut Asked) -> Result<String, String> {
    let host = text[scheme..].find('@').map_or(scheme, |at| scheme + at + 1);
    let Some(mark) = text[host..].find('?').map(|at| host + at) else { return Ok(text.to_owned()) };
    let mut kept = Vec::new();
    for piece in text[mark + 1..].split('&') {
        let taken = match piece.split_once('=') {
            Some((key, value)) => asked.take(&decoded(key)?, &decoded(value)?)?,
            None => false,
        };
        if !taken {
            kept.push(piece);
        }
    }
    let parameters = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    Ok(format!("{}{parameters}", &text[..mark]))
}

fn decoded(text: &str) -> Result<Cow<'_, str>, String> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let (bytes, mut plain, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| bytes[at] == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).map(Cow::Owned).map_err(|_| NOT_UNDERSTOOD.to_owned())
}

/// `host=h user='u'`, read as the driver reads it.
fn of_pairs(text: &str, asked: &mut Asked) -> Result<String, String> {
    let (mut kept, mut rest) = (Vec::new(), text.trim_start());
    while let Some(end) = rest.find(|c: char| c.is_whitespace() || c == '=') {
        if end == 0 {
            break;
        }
        let key = &rest[..end];
        let after = rest[end..].trim_start().strip_prefix('=').ok_or(NOT_UNDERSTOOD)?.trim_start();
        let (value, left) = value(after).ok_or(NOT_UNDERSTOOD)?;
        if !asked.take(key, &value)? {
            kept.push(&rest[..rest.len() - left.len()]);
        }
        rest = left.trim_start();
    }
    if !rest.is_empty() {
        // The driver knows what is wrong with it.
        kept.push(rest);
    }
    Ok(kept.join(" "))
}

/// A value at the start of `text`, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let (quoted, body) = text.strip_prefix('\'').map_or((false, text), |body| (true, body));
    let mut value = String::new();
    let mut letters = body.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' if quoted => return Some((value, &body[at + 1..])),
            _ if !quoted && letter.is_whitespace() => return (!value.is_empty()).then_some((value, &body[at..])),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            _ => value.push(letter),
        }
    }
    (!quoted && !value.is_empty()).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (String, Asked) {
        part(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn words_about_tls_are_taken_off_and_the_rest_stays() {
        let (rest, asked) =
            of("postgresql://u:p%3F?x@h:1/d?connect_timeout=3&sslmode=verify-full&sslrootcert=%2Fa%20b&user=v");
        assert_eq!(rest, "postgresql://u:p%3F?x@h:1/d?connect_timeout=3&user=v");
        assert_eq!((asked.mode, asked.sslrootcert.as_deref()), (Some(SslMode::Verify), Some("/a b")));
        let (rest, asked) = of("host=h  sslmode = 'require' password='a \\' sslmode=disable' sslcert=c sslkey=k\\ k ");
        assert_eq!(rest, "host=h password='a \\' sslmode=disable'");
        assert_eq!(asked.mode, Some(SslMode::Require));
        assert_eq!((asked.sslcert.as_deref(), asked.sslkey.as_deref()), (Some("c"), Some("k k")));
        assert_eq!(of("postgres://h/d?sslmode=disable").0, "postgres://h/d");
        assert_eq!(of("postgres://h/d").1, Asked::default());
    }

    #[test]
    fn every_mode_of_libpq_is_known_and_a_later_one_counts() {
        let mode = |word: &str| of(&format!("postgres://h/d?sslmode=verify-full&%73slmode={word}")).1.mode;
        assert_eq!(mode("disable"), Some(SslMode::Disable));
        assert_eq!((mode("allow"), mode("prefer")), (Some(SslMode::Whatever), Some(SslMode::Whatever)));
        assert_eq!((mode("require"), mode("verify-ca")), (Some(SslMode::Require), Some(SslMode::Verify)));
        assert_eq!(of("postgres://h/d?ssl=true").1.mode, Some(SslMode::Require));
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_its_name_and_without_its_value() {
        for word in ["sslpassword=secret", "sslcrl=secret", "gssencmode=require", "sslnegotiation=direct"] {
            let why = part(&format!("postgres://h/d?{word}")).expect_err(word);
            assert!(why.contains(&word[..word.find('=').expect("a pair")]) && !why.contains("secret"), "{why}");
        }
        assert!(part("host=h sslmode=secret").is_err_and(|why| why.contains("sslmode") && !why.contains("secret")));
        for broken in ["host='h sslmode=require", "host sslmode=require", "sslmode= "] {
            assert!(part(broken).is_err(), "{broken}");
        }
    }
}
