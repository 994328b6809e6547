//! The options that set the server's environment variables, attributes and resource limits.

macro_rules! environment {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options that set the server's environment variables, attributes and resource limits.
    Environment "Environment and limits" {

    Env "env" 'e' {
        line: "set a variable of the server (repeatable)",
        manual:
            "Set a variable in the server's environment only. Repeatable; if a name is given again, the last VALUE "
            "counts. VALUE may be empty. See ENVIRONMENT.",
        takes: ["NAME=VALUE" "string"] repeatable,
        wrong: "is not NAME=VALUE",
        accepts: ["NAME=VALUE", "NAME=", "A=b=c"],
        rejects: ["NAME", "=x"],
        sets: env += parse_assignment,
    }

    EnvDir "env-dir" {
        line: "set variables from the files in DIR",
        manual:
            "Set a variable for each file in DIR, as 'chpst -e' and envdir do: the name is that of the file, the "
            "value is its first line without blanks at the end, in which a NUL is replaced by a newline. An empty "
            "file unsets the variable. Directories and names that begin with a dot are skipped. DIR is read on the "
            "host and with vsrun's own rights, so a file may belong to root alone. A symbolic link is followed only "
            "within DIR. A file that cannot be read, is not a regular file, is longer than 128 KiB with its name or "
            "has a '=' in its name ends the start (125). See ENVIRONMENT.",
        takes: ["DIR" "dir"],
        accepts: ["/etc/web/env"],
        rejects: [],
        sets: env_dir = text,
    }

    EnvFile "env-file" {
        line: "set the variables in FILE (repeatable)",
        manual:
            "Set the variables that the lines of FILE define, in Docker's format: NAME=VALUE, where VALUE is literal "
            "and extends to the end of the line. FILE is read on the host and with vsrun's own rights, so it may "
            "belong to root alone. A file that cannot be read or is not a regular file ends the start (125); a line "
            "without a name, with a blank in the name or with a NUL byte is wrong usage (2), reported with file and "
            "line. See ENTRYPOINT.",
        takes: ["FILE" "file"] repeatable,
        accepts: ["/etc/web.env"],
        rejects: [],
        sets: env_files += text,
    }

    FileEnv "file-env" {
        line: "set NAME from the file that NAME_FILE names",
        manual:
            "For each NAME: if the variable NAME_FILE is set, set NAME to the contents of the file that it names, "
            "without one newline at its end, and remove NAME_FILE. The official container images take secrets in this "
            "way. The file is read on the host and with vsrun's own rights, so it may belong to root alone. It is an "
            "error (125) if NAME is set as well, or if the file cannot be read, is not a regular file, contains a NUL "
            "byte or is longer than 128 KiB. --env NAME=VALUE overrides it. See ENTRYPOINT.",
        takes: ["NAME[,NAME]..." "string"] repeatable,
        wrong: "is not NAME[,NAME]... of different names without '='",
        accepts: ["DB_PASSWORD", "A,B"],
        rejects: ["=", "A=b", "A,,B", "A,A"],
        sets: |options, value, _| {
            for name in split_byte(value, b',') {
                if !is_variable_name(name) || options.file_env.iter().any(|other| other.to_bytes() == name) {
                    return false;
                }
                options.file_env.push(leak_copy(name));
            }
            true
        },
    }

    Expand "expand" {
        line: "replace ${NAME} in the words of COMMAND",
        manual:
            "Replace ${NAME} and ${NAME:-WORD} in each word of COMMAND from the server's environment, without a "
            "shell. WORD is used if NAME is unset or empty. $$ is a dollar sign, and a $ before any other character "
            "is literal. No value is expanded again or split into words. An unset NAME without WORD ends the start "
            "(125). Records and VSRUN_SERVER_COMMAND show the words as they were given. See ENTRYPOINT.",
    }

    ClearEnv "clear-env" {
        line: "begin with an empty environment",
        manual:
            "Begin with an empty environment instead of vsrun's own. The variables of --user, --env-file, --env-dir, "
            "--file-env and --env are added. COMMAND is looked up in the server's PATH; if that is unset, in "
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin.",
    }

    Umask "umask" {
        line: "the server's file mode creation mask",
        manual: "The server's file mode creation mask, in octal, 0 to 777. Without it, vsrun's own is passed on.",
        takes: ["OCTAL" "integer"],
        wrong: "is not an octal number of 0 to 777",
        accepts: ["027", "0", "777", "0022"],
        rejects: ["8", "1000", "-1", "u=rwx"],
        sets: umask = parse_umask,
    }

    Nice "nice" {
        line: "its nice value, -20 (urgent) to 19",
        manual: "The server's nice value, from -20, the most urgent, to 19. It is absolute, not an increment.",
        takes: ["N" "integer"],
        wrong: "is not an integer from -20 to 19, without '+'",
        accepts: ["-20", "0", "19"],
        rejects: ["-21", "20", "+1", "high"],
        sets: attribute_steps += parse_nice,
    }

    OomScoreAdj "oom-score-adj" {
        line: "OOM killer preference: -1000 to 1000",
        manual:
            "Adjust the kernel's choice of a process to kill when memory is exhausted: with 1000 the server is chosen "
            "first, with -1000 never. Needs /proc.",
        takes: ["N" "integer"],
        wrong: "is not an integer from -1000 to 1000, without '+'",
        accepts: ["-1000", "0", "1000"],
        rejects: ["-1001", "1001", "max"],
        sets: attribute_steps += parse_oom_score_adj,
    }

    Limit "limit" {
        line: "limit as prlimit(1): nofile=99 (repeatable)",
        manual:
            "Limit a resource of the server, with the names and units of prlimit(1): as, core, cpu, data, fsize, "
            "locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack. Each value is a "
            "number or 'unlimited'; without HARD, SOFT is used for both. Repeatable, for different names.",
        takes: ["NAME=SOFT[:HARD]" "string"] repeatable,
        wrong: "is not NAME=SOFT[:HARD] with a name of prlimit(1) and SOFT at most HARD",
        accepts: ["nofile=1024", "core=0:unlimited", "AS=unlimited"],
        rejects: [
            "nofiles=10": "unknown limit 'nofiles': did you mean nofile?",
            "NOFIEL=10": "did you mean nofile?",
            "memory=10": "unknown limit 'memory': allowed are cpu, fsize, data, stack, core, rss, nproc, nofile, memlock, as",
            "nofile": "a value is missing",
            "nofile=": "a value is missing",
            "nofile=10k": "a value is digits or 'unlimited'",
            "nofile=-1": "a value is digits or 'unlimited'",
            "nofile=infinity": "a value is digits or 'unlimited'",
            "nofile=1:": "a value is digits or 'unlimited'",
            "nofile=100:10": "SOFT is above HARD",
            "nofile=unlimited:10": "SOFT is above HARD",
        ],
        sets: |options, value, _| {
            let limit = parse_limit(value);
            let twice =
                limit.is_some_and(|limit| options.attribute_steps.iter().any(|other| is_same_attribute(other, &limit)));
            !twice && append_if_some(&mut options.attribute_steps, limit)
        },
    }

    Cgroup "cgroup" {
        line: "run the server in this control group",
        manual:
            "Run the server in the control group (version 2) of the directory DIR, such as /sys/fs/cgroup/web. DIR is "
            "made if it is missing; its parent must exist. The server's process enters it before all other steps. It "
            "is an error (125) if DIR already contains processes. If vsrun stays, every process that is left in DIR "
            "at the end of a run is killed: at once, or with --linger after SIGTERM and that time. DIR is removed at "
            "the exit if vsrun has made it and it is empty. See CONTROL GROUPS.",
        takes: ["DIR" "dir"],
        accepts: ["/sys/fs/cgroup/web"],
        rejects: [],
        sets: cgroup = text,
    }

    CgroupSet "cgroup-set" {
        line: "write a control file of it (repeatable)",
        manual:
            "Before the server is started, write VALUE to the file FILE in the directory of --cgroup: "
            "memory.max=512M, pids.max=100, cpu.weight=50. Repeatable, in that order. The controller, the part of "
            "FILE before the dot, must be enabled in cgroup.subtree_control of the parent.",
        takes: ["FILE=VALUE" "string"] repeatable,
        wrong: "is not FILE=VALUE with a FILE such as pids.max",
        accepts: ["memory.max=512M", "pids.max=100"],
        rejects: ["pids.max", "=1", "../pids.max=1"],
        sets: cgroup_set += cgroup::parse_setting,
    }

    } } };
}
