//! Tests every option with the example values of the table, and options that contradict each other.

use super::*;
use crate::logic::base::cstr::leak_cstr;
use crate::logic::base::exit;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Span;
use crate::logic::cli::flags::{EXAMPLES, Examples, FLAGS, Flag};
use crate::logic::cli::options::ControlCommand;
use crate::logic::cli::value::parse_delay_range;
use crate::logic::plan::account::UserAndGroup;

fn parse_all(words: &Args) -> Result<(Request, Options)> {
    let mut options = Options::default();
    parse(words, &mut options, &mut None).map(|request| (request, options))
}

fn parse_words(words: &[&str]) -> Result<(Request, Options)> {
    let words = std::iter::once(&"vsrun").chain(words).map(|text| leak_cstr(text.as_bytes().to_vec())).collect();
    parse_all(&Args::new(words))
}

fn options(words: &[&str]) -> Options {
    match parse_words(words) {
        Ok((Request::Run, options)) => options,
        other => panic!("{words:?}: {other:?}"),
    }
}

fn refused(words: &[&str]) -> String {
    let error = parse_words(words).unwrap_err();
    assert_eq!(error.exit_status, exit::USAGE, "{words:?}");
    assert!(!error.to_string().contains('\n'), "{words:?}");
    error.to_string()
}

#[test]
fn every_row_of_the_table_has_an_arm() {
    for flag in FLAGS {
        let long = format!("--{}", flag.long);
        let mut names = vec![long.clone()];
        if flag.short != ' ' {
            names.push(format!("-{}", flag.short));
        }
        for name in names {
            let text = match parse_words(&[&name]) {
                Ok((Request::Help(_) | Request::Completion | Request::Version, _)) => continue,
                Ok((other, _)) => panic!("{name} alone: {other:?}"),
                Err(error) => error.to_string(),
            };
            let expected = if name == "--rc" {
                "is only for service files"
            } else if flag.values.is_empty() {
                "'-- COMMAND' is missing"
            } else {
                "is missing"
            };
            assert!(text.contains(expected), "{name}: {text}");
        }
    }
}

/// The options that take a value, with the examples of their rows in the table.
fn rows_with_values() -> impl Iterator<Item = (&'static Flag, &'static Examples)> {
    // A few rows are enough for Miri, which is hundreds of times slower.
    let step = if cfg!(miri) { 29 } else { 1 };
    FLAGS.iter().zip(EXAMPLES).filter(|(flag, _)| !flag.values.is_empty()).step_by(step)
}

/// Parses one option with these values. Other options that it needs may be missing.
fn read_values(flag: &Flag, values: &[&[u8]]) -> Result<Options> {
    let mut options = Options::default();
    let words: Vec<StaticCStr> =
        [format!("--{}", flag.long).as_bytes()].iter().chain(values).map(|word| leak_copy(word)).collect();
    assert_eq!(values.len(), flag.values.len(), "{words:?}");
    match read_options_and_count_args(&words, &mut options, &mut None).0? {
        None => Ok(options),
        Some(DecidingOption::ArgsFile(path)) => {
            assert_eq!((flag.long, path.to_bytes()), ("args", values[0]));
            Ok(options)
        }
        Some(DecidingOption::Request(_)) => panic!("{words:?}"),
    }
}

fn as_bytes<'a>(values: &[&'a str]) -> Vec<&'a [u8]> {
    values.iter().map(|value| value.as_bytes()).collect()
}

/// Parses one option with these values, which must be refused. Returns the error text.
fn refused_values(flag: &Flag, values: &[&str]) -> String {
    let error = read_values(flag, &as_bytes(values)).err();
    let error = error.unwrap_or_else(|| panic!("--{} {values:?} is accepted", flag.long));
    let said = error.text();
    assert_eq!((error.exit_status, said.contains('\n')), (exit::USAGE, false), "{said}");
    assert!(said.starts_with(&format!("option --{}: ", flag.long)), "{said}");
    said
}

/// The names of the fields of `Options` that differ from an empty command line, except those that every option changes.
fn changed_fields(options: &Options) -> Vec<String> {
    // Lines that are indented further belong to the field before them.
    let fields = |options: &Options| format!("{options:#?}").replace("\n     ", " ");
    let (before, after) = (fields(&Options::default()), fields(options));
    let before: Vec<&str> = before.lines().collect();
    let changed = after.lines().filter(|line| !before.contains(line));
    let names = changed.filter_map(|line| Some(line.split_once(": ")?.0.trim().to_owned()));
    names.filter(|name| name != "given" && name != "given_count").collect()
}

#[test]
fn accepted_examples_are_stored_and_each_option_has_its_own_field() {
    /// Fields that hold the values of several options.
    const COMMON: [&str; 4] = ["attribute_steps", "confine", "control", "listen_count_before_port"];
    let mut owners = std::collections::BTreeMap::new();
    for (flag, examples) in rows_with_values() {
        let mut is_stored = flag.long == "args";
        for values in examples.accepted {
            let options = read_values(flag, &as_bytes(values)).unwrap_or_else(|error| panic!("{values:?}: {error:?}"));
            for field in changed_fields(&options) {
                is_stored = true;
                let owner = *owners.entry(field.clone()).or_insert(flag.long);
                assert!(owner == flag.long || COMMON.contains(&field.as_str()), "--{owner}, --{}: {field}", flag.long);
            }
        }
        assert!(is_stored, "--{}: no example changes the options", flag.long);
    }
}

#[test]
fn rejected_examples_are_rejected_in_the_words_of_their_rows() {
    for (flag, examples) in rows_with_values() {
        for (values, says) in examples.rejected {
            let said = refused_values(flag, values);
            let own = |value: &&str| said.contains(&format!("'{value}' {}", flag.rejection));
            let is_right = if says.is_empty() { values.iter().any(own) } else { said.contains(says) };
            assert!(!flag.rejection.is_empty() || !says.is_empty(), "--{} {values:?}: no words of an error", flag.long);
            assert!(is_right, "--{} {values:?} {says:?}: {said}", flag.long);
        }
    }
}

#[test]
fn without_rejected_examples_every_value_is_accepted() {
    const VALUES: &[u8] = b" |-|=|,|:|/|0|-1|99999999999999999999|\n|\xff|a b|a=b|%";
    for (flag, _) in rows_with_values().filter(|(_, examples)| examples.rejected.is_empty()) {
        for value in VALUES.split(|byte| *byte == b'|') {
            let read = read_values(flag, &vec![value; flag.values.len()]);
            assert!(read.is_ok(), "--{} needs an example of a rejected value: {read:?}", flag.long);
        }
    }
}

#[test]
fn an_empty_value_is_rejected_except_where_an_example_is_empty() {
    for (flag, examples) in rows_with_values() {
        let empty = vec![""; flag.values.len()];
        if !examples.accepted.contains(&empty.as_slice()) {
            assert_eq!(refused_values(flag, &empty), format!("option --{}: '' is empty", flag.long));
        }
    }
}

#[test]
fn words_after_the_separator_belong_to_the_command() {
    let options = options(&["-b", "-f", "--", "--", "-u", "--help"]);
    assert_eq!(options.command, ["--", "-u", "--help"].map(|word| leak_copy(word.as_bytes())));
    assert!(!options.background && options.user.is_none());
}

#[test]
fn a_value_may_be_joined_to_its_option() {
    for words in [["-u", "web"].as_slice(), &["-uweb"], &["--user=web"], &["--user", "web"]] {
        let words: Vec<&str> = words.iter().copied().chain(["--", "x"]).collect();
        assert_eq!(options(&words).user, UserAndGroup::parse(b"web"), "{words:?}");
    }
    let options = options(&["-m", "-", "-", "--restart-delay", "5", "-d", "logs", "2w", "--", "x"]);
    let managed = options.manager.unwrap();
    assert!(managed.pidfile.is_none() && managed.crash_handler.is_none());
    assert_eq!(options.restart_delay, Some((Span::secs(5), Span::secs(30))));
    assert_eq!(options.logdir.unwrap().0, c"logs");
}

#[test]
fn sockets_are_in_the_order_of_the_line() {
    for (line, expected) in [
        ("--port 80 --listen 81", ["80", "81"]),
        ("--listen 81 --port 80", ["81", "80"]),
        ("--bind ::1 --listen a=81/udp --port 80", ["[::1]:80", "a=81/udp"]),
        ("--listen /a --bind /b", ["/a", "/b"]),
    ] {
        let words: Vec<&str> = line.split(' ').chain(["--", "x"]).collect();
        let found: Vec<String> = options(&words).listen.iter().map(|one| one.to_string_lossy().into()).collect();
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn a_restart_delay_is_a_value_or_a_range() {
    for (text, delays) in [("0", (0, 0)), ("1min", (60_000, 60_000)), ("0:5", (0, 5000)), ("10ms:20ms", (10, 20))] {
        assert_eq!(parse_delay_range(text.as_bytes()), Some((Span(delays.0), Span(delays.1))), "{text}");
    }
}

#[test]
fn lines_of_an_args_file_are_parsed_as_arguments() {
    let read = |words: &[&str], contents: &str| match parse_words(words) {
        Ok((Request::ArgsFile(unread), _)) => parse_all(&unread.insert_lines(contents.as_bytes()).unwrap()),
        other => panic!("{words:?}: {other:?}"),
    };
    for words in [["-b", "--args", "f", "x", "-y"].as_slice(), &["-b", "--args=f", "x", "-y"]] {
        match read(words, "#!/sbin/vsrun --args\n--user\nweb\n--\n/bin/run\n-f").unwrap() {
            (Request::Run, options) => {
                assert!(options.background && options.user == UserAndGroup::parse(b"web"));
                assert_eq!(options.command, ["/bin/run", "-f", "x", "-y"].map(|word| leak_copy(word.as_bytes())));
            }
            other => panic!("{other:?}"),
        }
    }
    for (contents, says) in [
        ("--user\nweb\n\n--bogus\n--\nx", "f:4: unknown option --bogus"),
        ("--user\n12ab\n--\nx", "f:2: option --user: '12ab'"),
        ("--stop-timeout 5\n--\nx", "f:1: '--stop-timeout 5' is one argument: write --stop-timeout=5"),
        ("--user\n--\nx", "f:1: option --user: a value is missing"),
        ("-b\n--args\nf\n--\nx", "f:3: option --args cannot be used in"),
        ("stray\n--\nx", "f:1: unexpected argument 'stray'"),
        ("", "f: '-- COMMAND' is missing"),
        ("--stop-timeout\n5\n--\nx", "f: option --stop-timeout needs"),
    ] {
        let error = read(&["--args", "f"], contents).unwrap_err();
        assert_eq!(error.exit_status, exit::USAGE, "{contents}");
        assert!(error.to_string().starts_with(says), "{contents}: {}", error);
    }
    // All words after the command belong to it, `--args` too.
    assert!(matches!(parse_words(&["--", "x", "--args", "f"]), Ok((Request::Run, _))));
    assert!(refused(&["--args"]).contains("--args: a value is missing"));
}

#[test]
fn help_wins_over_what_follows() {
    assert!(matches!(parse_words(&["--help", "--bogus"]), Ok((Request::Help(Help::All), _))));
    assert!(matches!(parse_words(&["-h", "--bogus"]), Ok((Request::Help(Help::Short), _))));
    assert!(matches!(parse_words(&["-bh", "--help"]), Ok((Request::Help(Help::Short), _))));
    assert!(matches!(parse_words(&["-b", "-V", "stray"]), Ok((Request::Version, _))));
    assert!(refused(&["--bogus", "--help"]).contains("--bogus"));
}

#[test]
fn without_any_word_the_usage_is_shown() {
    assert!(matches!(parse_words(&[]), Ok((Request::Help(Help::Usage), _))));
}

#[test]
fn a_path_with_an_equals_sign_is_not_rejected_for_its_name_or_port() {
    let path = format!("/{}=x", "1".repeat(107));
    for value in [path.clone(), format!("web={path}")] {
        let text = refused(&["--listen", &value, "--", "x"]);
        assert!(text.ends_with("[NAME=]/PATH of at most 107 bytes"), "{text}");
    }
}

#[test]
fn wrong_words_are_named() {
    let table: &[(&[&str], &str)] = &[
        (&["-b"], "'-- COMMAND' is missing"),
        (&["--"], "no COMMAND after '--'"),
        (&["true"], "unexpected argument 'true'"),
        (&["-u", "web", "true", "--", "x"], "unexpected argument 'true'"),
        (&["--bogus", "--", "x"], "--bogus"),
        (&["-x", "--", "x"], "-x"),
        (&["--debug=yes", "--", "x"], "--debug"),
        (&["-u", "--", "x"], "--user: a value is missing"),
        (&["-d", "logs", "--", "x"], "--logdir: takes two values, DIR and KEEP: KEEP is missing"),
        (&["-u", "a", "-u", "b", "--", "x"], "--user is given twice"),
        (&["--port", "80", "--port", "81", "--", "x"], "--port is given twice"),
        (&["--port", "80", "--bind", "localhost", "--", "x"], "--bind: 'localhost' is not an IP address"),
        (&["--bind", "127.0.0.1", "--", "x"], "--bind: an address needs --port"),
        (&["--bind", "/x", "--port", "80", "--", "x"], "--bind: an address needs --port"),
        (&["-s", "t", "-d", "logs", "1", "--", "x"], "--syslog cannot be used with --logdir"),
        (&["--logger", "x", "--", "x"], "--logger needs --syslog"),
        (&["-s", "t", "--logger", " ", "--", "x"], "--logger"),
        (&["--stop-timeout", "1", "--", "x"], "--stop-timeout needs --manager"),
        (&["--restart", "no", "--handler-timeout", "5", "--", "x"], "--handler-timeout needs a handler"),
        (&["-m", "-", "-", "--handler-timeout", "5", "--", "x"], "--handler-timeout needs a handler"),
        (&["-p", "a", "-m", "a", "-", "--", "x"], "--manager name the same file"),
        (&["--status"], "--status: a value is missing"),
        (&["--status", "p", "x"], "unexpected argument 'x'"),
        (&["--status", "p", "--", "x"], "option --status, --stop, --replace or --signal is used alone"),
        (&["--status", "p", "--stop", "p"], "--status, --stop, --replace or --signal is given twice"),
        (&["--status", "p", "--status", "p"], "--status is given twice"),
        (&["--status", "p", "--stop-timeout", "5"], "option --status, --stop, --replace or --signal is used alone"),
        (&["-b", "--stop", "p"], "option --status, --stop, --replace or --signal is used alone"),
        (&["--stop", "p", "--user", "web"], "option --status, --stop, --replace or --signal is used alone"),
        (&["--stop", "p", "--stop-timeout", "x"], "--stop-timeout: 'x'"),
        (&["--signal", "TERM"], "--signal: takes two values, SIGNAL and PIDFILE: PIDFILE is missing"),
        (&["--signal", "TERM", "p", "-p", "q"], "option --status, --stop, --replace or --signal is used alone"),
        (&["--us\ner", "--", "x"], "--us\\x0aer"),
    ];
    for (words, says) in table {
        let text = refused(words);
        assert!(text.contains(says), "{words:?}: {text}");
    }
}

#[test]
fn control_options_are_parsed() {
    let control = |words: &[&str]| match parse_words(words) {
        Ok((Request::Control(control), _)) => (control.command, control.stop_timeout),
        other => panic!("{words:?}: {other:?}"),
    };
    assert_eq!(control(&["--status", "p"]), (ControlCommand::Status, None));
    assert_eq!(control(&["--stop=p"]), (ControlCommand::Stop, None));
    assert_eq!(control(&["--stop-timeout", "2min", "--stop", "p"]), (ControlCommand::Stop, Some(Span::secs(120))));
    assert_eq!(control(&["--signal", "hup", "p"]), (ControlCommand::Signal(Signal::HUP), None));
}
