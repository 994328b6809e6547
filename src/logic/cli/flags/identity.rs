//! The options that set the server's user and rights.

macro_rules! identity {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options that set the server's user and rights.
    Identity "Identity" {

    User "user" 'u' {
        line: "run the server as USER",
        manual:
            "Run the server, the handler and the logger as USER. A USER made of digits is a UID, never a name, and "
            "needs no passwd entry. Without :GROUP the server gets the gid of passwd and every group that /etc/group "
            "lists for USER. With :GROUP it gets that group only. A UID without an entry gets the gid of the same "
            "number and no other groups. vsrun itself reads the host's /etc/passwd and /etc/group, before any chroot: "
            "there is no NSS and no LDAP. HOME, USER, LOGNAME and SHELL are set. The server has no controlling "
            "terminal. After the change vsrun proves that uid 0 cannot be regained, and otherwise does not start the "
            "server. See USERS AND GROUPS.",
        takes: ["USER[:GROUP]" "user"],
        wrong: "is not USER[:GROUP], names or IDs from 0 to 4294967294",
        accepts: ["web", "web:staff", "65534", "0:0", "web:100"],
        rejects: [
            ":web",
            "web:",
            "-1",
            "99999999999": "names or IDs from 0 to 4294967294",
            "12ab": "a name does not begin with a digit",
            "web:12ab": "a name does not begin with a digit",
            "4294967295": "that number means 'unchanged' to the kernel",
        ],
        sets: user = UserAndGroup::parse,
    }

    NoUserChecks "no-user-checks" {
        line: "if not root, ignore --user; do not fail",
        manual:
            "If vsrun is neither root nor USER, run the server as the current user and ignore --user, instead of "
            "failing with 'started using wrong user ID (N), expected M'.",
    }

    NoNewPrivs "no-new-privs" {
        line: "no rights from set-user-id programs",
        manual:
            "Set no_new_privs, see prctl(2): no program that the server executes gains rights that the server does "
            "not have, neither by set-user-id nor by file capabilities.",
    }

    Caps "caps" {
        line: "capabilities to keep: kill,net_raw or 'none'",
        manual:
            "The server keeps exactly the capabilities of LIST: names of capabilities(7), with or without CAP_, in "
            "any case, or numbers, separated by commas; or none. All others leave the bounding set permanently. A "
            "server with --user keeps those of LIST too: '-u web --caps net_bind_service' may open port 80 and has no "
            "other right of root. A capability that cannot be kept, or one that cannot be dropped, ends the start "
            "(125). Needs CAP_SETPCAP, except for none if no capability is left to drop. Without --caps, a server "
            "with a --user other than root has no capabilities. See CAPABILITIES.",
        takes: ["LIST" "string"],
        wrong: "is not 'none' or a list such as kill,net_raw",
        accepts: ["none", "net_bind_service", "CAP_KILL,chown", "12,sys_admin"],
        rejects: [
            "64",
            "foo": "unknown capability 'foo': allowed are none, or names of capabilities(7)",
            "net_bind_servce": "unknown capability 'net_bind_servce': did you mean net_bind_service?",
            "CAP_KILL,CAP_NET_RAWW": "unknown capability 'NET_RAWW': did you mean net_raw?",
            "kill,net_raww": "unknown capability 'net_raww': did you mean net_raw?",
            "kill,": "unknown capability ''",
        ],
        sets: caps = Capabilities::parse,
    }

    } } };
}
