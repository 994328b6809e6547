//! Users and groups: looks up "user:group" in the contents of passwd(5) and group(5).
//!
//! vsrun has its own parser, because a static binary has no NSS, and root must not load a library from inside a jail
//! (CVE-2025-32463). Digits are always an id and never a name (CVE-2016-3697). The id 4294967295 is invalid, because
//! setresuid(2) takes it as "unchanged" (CVE-2019-14287).

use alloc::vec::Vec;

use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::parse_number;
use crate::logic::plan::personality::AccountRules;

/// The file in which users are looked up.
pub const PASSWD_PATH: &str = "/etc/passwd";
/// The file in which groups are looked up.
pub const GROUP_PATH: &str = "/etc/group";

/// A user or group, as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameOrId {
    /// An id, written as a decimal number.
    Id(u32),
    /// A name: any text that is not a number.
    Name(Vec<u8>),
}

/// The value of `--user`: `USER[:GROUP]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAndGroup {
    /// The USER in `USER[:GROUP]`.
    pub user: NameOrId,
    /// The GROUP in `USER[:GROUP]`, if it is given.
    pub group: Option<NameOrId>,
}

/// The server's user and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The server's user id: real, effective and saved.
    pub uid: u32,
    /// The server's group id: real, effective and saved.
    pub gid: u32,
    /// The supplementary groups. They include the gid, except by the rules of gosu.
    pub groups: Vec<u32>,
    /// The login name; the id in digits if the user has none.
    pub name: Vec<u8>,
    /// The home directory; `/` if it is unknown.
    pub home: Vec<u8>,
    /// The login shell; `/bin/sh` if it is unknown.
    pub shell: Vec<u8>,
}

impl UserAndGroup {
    /// Parses `USER[:GROUP]`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut halves = split_byte(text, b':');
        let user = NameOrId::parse(halves.next()?)?;
        let group = match halves.rest {
            None => None,
            Some(group) => Some(NameOrId::parse(group)?),
        };
        Some(Self { user, group })
    }

    /// Parses `USER[:GROUP]` as gosu and su-exec do: a missing USER means the user id `own_uid`, GROUP may be empty,
    /// and any text that is not a number is a name.
    pub fn parse_like_gosu(text: &[u8], own_uid: u32) -> Option<Self> {
        let mut halves = split_byte(text, b':');
        let user = halves.next()?;
        let name = |text: &[u8]| match parse_number(text) {
            Some(_) => parse_id(text).map(NameOrId::Id),
            None => Some(NameOrId::Name(text.to_vec())),
        };
        let user = if user.is_empty() { NameOrId::Id(own_uid) } else { name(user)? };
        let group = match halves.rest {
            None | Some(b"") => None,
            Some(group) => Some(name(group)?),
        };
        Some(Self { user, group })
    }
}

impl NameOrId {
    fn parse(text: &[u8]) -> Option<Self> {
        match text.first()? {
            b'-' | b'+' => None,
            b'0'..=b'9' => parse_id(text).map(Self::Id),
            _ if text.iter().any(|byte| matches!(byte, b':' | b'/' | 0..=b' ' | 0x7f)) => None,
            _ => Some(Self::Name(text.to_vec())),
        }
    }
}

/// Parses a user or group id: 0 to 4294967294.
fn parse_id(text: &[u8]) -> Option<u32> {
    u32::try_from(parse_number(text)?).ok().filter(|id| *id != u32::MAX)
}

/// Looks up the user and group of `--user` in the contents of passwd(5) and group(5).
///
/// # Errors
/// If a name is unknown, or an entry is malformed: as root, a guess would be dangerous. An id needs no entry.
pub fn resolve(login: &UserAndGroup, passwd: &[u8], group: &[u8]) -> Result<Identity> {
    resolve_with_rules(login, AccountRules::Vsrun, passwd, group)
}

/// Looks up a user and group in the contents of passwd(5) and group(5), by the rules of vsrun or of another tool.
///
/// # Errors
/// If a name is unknown, or an entry is malformed. An id needs no entry.
#[inline(never)]
pub fn resolve_with_rules(
    login: &UserAndGroup,
    accounts: AccountRules,
    passwd: &[u8],
    group: &[u8],
) -> Result<Identity> {
    let entry = find_user(&login.user, passwd)?;
    let known = entry.is_some();
    let mut identity = match (entry, &login.user) {
        (Some(entry), _) => entry,
        (None, NameOrId::Id(uid)) => Identity {
            uid: *uid,
            gid: match accounts {
                AccountRules::Vsrun => *uid,
                AccountRules::GosuWithOwnGid(own) | AccountRules::SuExecWithOwnGid(own) => own,
            },
            groups: Vec::new(),
            name: format!("{uid}").into_bytes(),
            home: b"/".to_vec(),
            shell: b"/bin/sh".to_vec(),
        },
        (None, NameOrId::Name(name)) => {
            return Err(Error::of(Problem::UnknownUser, name));
        }
    };
    match &login.group {
        Some(name) => identity.gid = resolve_gid(name, group)?,
        None if known => identity.groups = supplementary_groups(&identity.name, group),
        // A uid without an entry in passwd has no name, and group(5) lists its members by their names.
        None => {}
    }
    if let AccountRules::GosuWithOwnGid(_) = accounts {
        return Ok(identity);
    }
    let gid = identity.gid;
    identity.groups.retain(|group| *group != gid);
    identity.groups.insert(0, gid);
    Ok(identity)
}

/// The user in the first line of passwd(5) with this name or id, without the supplementary groups. None if no line has
/// it.
fn find_user(wanted: &NameOrId, passwd: &[u8]) -> Result<Option<Identity>> {
    for [name, _, uid, gid, _, home, shell] in entries(passwd) {
        let found = match wanted {
            NameOrId::Name(text) => text == name,
            NameOrId::Id(number) => parse_id(uid) == Some(*number),
        };
        if !found {
            continue;
        }
        let (Some(uid), Some(gid)) = (parse_id(uid), parse_id(gid)) else {
            return Err(Error::of(Problem::InvalidUser, name));
        };
        let or = |field: &[u8], default: &[u8]| if field.is_empty() { default.to_vec() } else { field.to_vec() };
        let (home, shell) = (or(home, b"/"), or(shell, b"/bin/sh"));
        return Ok(Some(Identity { uid, gid, groups: Vec::new(), name: name.to_vec(), home, shell }));
    }
    Ok(None)
}

/// The gid of a group. A group that is given as a number needs no entry in group(5). For a name, it is the gid of the
/// first entry with this name.
fn resolve_gid(wanted: &NameOrId, group: &[u8]) -> Result<u32> {
    let wanted = match wanted {
        NameOrId::Id(gid) => return Ok(*gid),
        NameOrId::Name(text) => text,
    };
    for [name, _, gid, _] in entries(group) {
        if name == wanted {
            return parse_id(gid).ok_or_else(|| Error::of(Problem::InvalidGroup, name));
        }
    }
    Err(Error::of(Problem::UnknownGroup, wanted))
}

/// The gids of all groups that list the user as a member, without duplicates. Lines without a valid gid are skipped.
fn supplementary_groups(user: &[u8], group: &[u8]) -> Vec<u32> {
    let mut gids = Vec::new();
    for [_, _, gid, members] in entries(group) {
        if split_byte(members, b',').any(|member| member == user) {
            gids.extend(parse_id(gid));
        }
    }
    gids.sort_unstable();
    gids.dedup();
    gids
}

/// The lines with exactly N fields of a file such as passwd(5), whose fields are separated by colons. Skips comments
/// (`#`), NIS lines (`+`, `-`), lines without a name, and lines with a NUL, which no name or path can contain.
fn entries<const N: usize>(file: &[u8]) -> impl Iterator<Item = [&[u8]; N]> {
    split_byte(file, b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if matches!(line.first(), None | Some(b'#' | b'+' | b'-' | b':')) || line.contains(&0) {
            return None;
        }
        let mut fields = [&[][..]; N];
        let mut count = 0;
        for field in split_byte(line, b':') {
            *fields.get_mut(count)? = field;
            count += 1;
        }
        (count == N).then_some(fields)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n\
        +nis:x:9:9::/:/bin/sh\n\
        #gone:x:9:9::/:/bin/sh\n\
        web:x:33:44:Web,,,:/srv/www:/usr/sbin/nologin\r\n\
        short:x:50:50\n\
        bad:x:4294967295:7::/:/bin/sh\n\
        empty:x::7::/:/bin/sh\n\
        half:x:12ab:7::/:/bin/sh\n\
        nul\0:x:60:60::/:/bin/sh\n\
        bare:x:70:70:::\n\
        web:x:0:0:evil twin:/root:/bin/sh\n\
        1000:x:0:0:a number as a name:/root:/bin/sh\n\
        last:x:99:98::/l:/bin/l";
    const GROUPS: &[u8] = b"root:x:0:\nwww:x:44:\nlog:x:4:web,last\nssl:x:5:last,web,web\nwebx:x:6:webx\n\
        bad:x:4294967295:web\n# old:x:0:web\n+:::web\ndup:x:4:web\nlast:x:8:web\n0day:x:0:1000,77,web:0";

    fn login(text: &str) -> Identity {
        resolve(&UserAndGroup::parse(text.as_bytes()).unwrap(), USERS, GROUPS).unwrap()
    }

    fn refused(text: &str) -> String {
        resolve(&UserAndGroup::parse(text.as_bytes()).unwrap(), USERS, GROUPS).unwrap_err().to_string()
    }

    #[test]
    fn a_name_brings_all_its_groups() {
        let web = login("web");
        assert_eq!((web.uid, web.gid, web.groups), (33, 44, vec![44, 4, 5, 8]));
        assert_eq!((web.home, web.shell), (b"/srv/www".to_vec(), b"/usr/sbin/nologin".to_vec()));
        let last = login("last");
        assert_eq!((last.uid, last.gid, last.groups, last.shell), (99, 98, vec![98, 4, 5], b"/bin/l".to_vec()));
    }

    #[test]
    fn a_group_needs_no_user() {
        for (text, gid) in [("web:log", 4), ("33:log", 4), ("web:7", 7), ("77:7", 7)] {
            assert_eq!((login(text).gid, login(text).groups), (gid, vec![gid]), "{text}");
        }
    }

    #[test]
    fn a_number_is_never_a_name() {
        let unknown = login("1000");
        assert_eq!((unknown.uid, unknown.gid, unknown.groups), (1000, 1000, vec![1000]));
        assert_eq!((unknown.name, unknown.home, unknown.shell), (b"1000".to_vec(), b"/".to_vec(), b"/bin/sh".to_vec()));
        assert_eq!((login("33").gid, login("33").groups, login("33").name), (44, vec![44, 4, 5, 8], b"web".to_vec()));
        assert_eq!(login("0").name, b"root");
        assert_eq!((login("bare").home, login("bare").shell), (b"/".to_vec(), b"/bin/sh".to_vec()));
    }

    /// The groups that `id` shows under gosu 1.19 and su-exec 0.3.
    #[test]
    fn other_tools_have_other_groups() {
        for (text, uid, gid, gosu, su_exec) in [
            ("web", 33, 44, &[4, 5, 8][..], &[44, 4, 5, 8][..]),
            ("33:", 33, 44, &[4, 5, 8], &[44, 4, 5, 8]),
            ("web:log", 33, 4, &[], &[4]),
            ("77", 77, 100, &[], &[100]),
            (":7", 1000, 7, &[], &[7]),
            ("", 1000, 100, &[], &[100]),
        ] {
            let login = UserAndGroup::parse_like_gosu(text.as_bytes(), 1000).unwrap();
            for (accounts, groups) in
                [(AccountRules::GosuWithOwnGid(100), gosu), (AccountRules::SuExecWithOwnGid(100), su_exec)]
            {
                let found = resolve_with_rules(&login, accounts, USERS, GROUPS).unwrap();
                assert_eq!((found.uid, found.gid, &found.groups[..]), (uid, gid, groups), "{text} {accounts:?}");
            }
        }
        for text in ["0day", "bogus", "web:0day", "bad", "+5", "-1", "web:bogus"] {
            let login = UserAndGroup::parse_like_gosu(text.as_bytes(), 1000).unwrap();
            assert!(resolve_with_rules(&login, AccountRules::GosuWithOwnGid(0), USERS, GROUPS).is_err(), "{text}");
        }
        for text in ["4294967295", "99999999999", "web:4294967295"] {
            assert_eq!(UserAndGroup::parse_like_gosu(text.as_bytes(), 0), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_known_is_refused() {
        for (text, says) in [
            ("nobody", "unknown user 'nobody'"),
            ("short", "unknown user 'short'"),
            ("nis", "unknown user 'nis'"),
            ("bad", "no valid uid"),
            ("empty", "no valid uid"),
            ("half", "no valid uid"),
            ("web:nogroup", "unknown group 'nogroup'"),
            ("web:bad", "no valid gid"),
        ] {
            assert!(refused(text).contains(says), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn malformed_logins() {
        for text in [
            "",
            ":",
            "web:",
            ":web",
            "12ab",
            "-1",
            "+5",
            "4294967295",
            "4294967296",
            "web:-1",
            "web:4294967295",
            "a:b:c",
            "a b",
            "0x0",
            "0day",
            "1e3",
            "1.5",
            "18446744073709551616",
            "web:0day",
            "web:99999999999999999999",
            " web",
            "web\n",
            "web:x\ty",
            "a/b",
        ] {
            assert_eq!(UserAndGroup::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(UserAndGroup::parse(b"4294967294").unwrap().user, NameOrId::Id(u32::MAX - 1));
    }

    /// A numeric user or group never matches an entry that has the number as its name.
    #[test]
    fn a_number_is_in_no_list_of_names() {
        for (uid, text) in [(1000, "1000"), (77, "77"), (77, "0077"), (4_294_967_294, "4294967294")] {
            let groups = format!("root:x:0:{uid},{text}\nx:x:5:{text}");
            let found =
                resolve(&UserAndGroup::parse(text.as_bytes()).unwrap(), b"77:x:0:0::/:\n", groups.as_bytes()).unwrap();
            assert_eq!((found.uid, found.gid, found.groups), (uid, uid, vec![uid]), "{text}");
        }
        // The login name of a user in the file is a name, even if it is all digits.
        let named = resolve(&UserAndGroup::parse(b"9").unwrap(), b"1000:x:9:9::/:\n", b"x:x:5:1000\n").unwrap();
        assert_eq!((named.name, named.groups), (b"1000".to_vec(), vec![9, 5]));
    }

    /// In the user and group files, the same ids are valid as on the command line.
    #[test]
    fn ids_of_the_file_are_read_as_strictly() {
        let ids = ["", " 5", "5 ", "-1", "+5", "0x5", "5a", "5\t", "\u{665}", "4294967295", "4294967296"];
        for id in ids.into_iter().chain(["18446744073709551616", "99999999999999999999999999999999999999"]) {
            for (passwd, group, user) in [
                (format!("a:x:{id}:5::/:\n"), String::new(), "a"),
                (format!("a:x:5:{id}::/:\n"), String::new(), "a"),
                ("a:x:5:5::/:\n".to_owned(), format!("a:x:{id}:\n"), "a:a"),
            ] {
                let found =
                    resolve(&UserAndGroup::parse(user.as_bytes()).unwrap(), passwd.as_bytes(), group.as_bytes());
                let text = found.unwrap_err().to_string();
                assert!(text.contains("'a' has no valid") && !text.contains(char::is_control), "{id:?}: {text}");
            }
            // An invalid id of a supplementary group is skipped, because the user did not request that group.
            let found =
                resolve(&UserAndGroup::parse(b"a").unwrap(), b"a:x:5:6::/:", format!("g:x:{id}:a\n").as_bytes());
            assert_eq!(found.unwrap().groups, [6], "{id:?}");
        }
    }

    /// An invalid line is skipped, wherever it is, and the entry after it is still found.
    #[test]
    fn lines_that_are_no_entry_hide_and_add_no_user() {
        let long = vec![b'x'; if cfg!(miri) { 1 << 6 } else { 1 << 20 }];
        let lines: [&[u8]; 19] = [
            b"",
            b"\r",
            b":",
            b"::::::",
            b":x:0:0::/:",
            b"#web:x:0:0::/:",
            b"+",
            b"+:::::",
            b"+web:x:0:0::/:",
            b"+@netgroup::::::",
            b"-web:x:0:0::/:",
            b"web",
            b"web:x:0:0",
            b"web:x:0:0::/::",
            b"web\0:x:0:0::/:",
            b"web:x:0:0::/\0:",
            b"\xff\xfe:x:0:0::/:",
            &long,
            b"web :x:0:0::/:",
        ];
        for line in lines {
            for end in [&b"\n"[..], b"\r\n", b"\n\n\n"] {
                let passwd = [line, end, b"web:x:33:44::/w:/s", if end == b"\r\n" { b"\r" } else { b"" }].concat();
                let group = [b"a:x:7:web", end, line, end, b"b:x:8:web"].concat();
                let found = resolve(&UserAndGroup::parse(b"web").unwrap(), &passwd, &group).unwrap();
                assert_eq!((found.uid, found.groups), (33, vec![44, 7, 8]));
                assert_eq!((found.home, found.shell), (b"/w".to_vec(), b"/s".to_vec()));
            }
        }
    }

    /// No field and no list is truncated: the kernel refuses what is too long.
    #[test]
    fn nothing_is_too_long_to_be_read() {
        let count = if cfg!(miri) { 70 } else { 70_000 };
        let group: String = (1..=count).rev().map(|gid| format!("g{gid}:x:{gid}:a,web\n")).collect();
        let home = "/h".repeat(count as usize);
        let passwd = format!("x:{home}\nweb:{home}:33:1:{home}:{home}:/s");
        let found = resolve(&UserAndGroup::parse(b"web").unwrap(), passwd.as_bytes(), group.as_bytes()).unwrap();
        assert_eq!(found.groups, (1..=count).collect::<Vec<u32>>());
        assert_eq!(found.home, home.as_bytes());
        let listed = format!("g:x:5:{}web", "w,".repeat(count as usize));
        assert_eq!(
            resolve(&UserAndGroup::parse(b"web:g").unwrap(), passwd.as_bytes(), listed.as_bytes()).unwrap().gid,
            5
        );
        assert_eq!(
            resolve(&UserAndGroup::parse(b"web").unwrap(), passwd.as_bytes(), listed.as_bytes()).unwrap().groups,
            [1, 5]
        );
    }
}
