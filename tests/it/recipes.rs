//! README's recipes: the code blocks of each are typed at a root shell exactly as they are written, and have the
//! described effect.
//!
//! Each test names the title of its recipe and the number of its blocks, so an additional block fails the test. A
//! recipe that no test names fails `every_recipe_is_run_by_a_test`.

use crate::harness::qemu::{Emulated, assert_in_order, emulation};
use crate::harness::{self, Bundle, Host, Machine, Running, Sandbox, can_make_hosts, needs, process, words};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = ":8080/index.html";

fn top(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The title and the text of each recipe.
fn recipes() -> Vec<(String, String)> {
    let readme = harness::text(&top("README.md"));
    let (_, rest) = readme.split_once("\n## Recipes\n").unwrap();
    let (chapter, _) = rest.split_once("\n## ").unwrap();
    let parts = chapter.split("\n**").skip(1).filter(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    let recipe = |part: &str| {
        let (title, text) = part.split_once("**").unwrap();
        (title.split_once(". ").unwrap().1.trim_end_matches('.').to_owned(), text.to_owned())
    };
    parts.map(recipe).collect()
}

/// The indented blocks of the recipe with this title.
#[track_caller]
fn blocks<const COUNT: usize>(title: &str) -> [String; COUNT] {
    let all = recipes();
    let (_, text) = all.iter().find(|(other, _)| other == title).unwrap_or_else(|| panic!("no recipe '{title}'"));
    let mut found: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(line) if inside => {
                let block = found.last_mut().unwrap();
                block.push('\n');
                block.push_str(line);
            }
            Some(line) => found.push(line.to_owned()),
            None => {}
        }
        inside = line.starts_with("    ");
    }
    <[String; COUNT]>::try_from(found).unwrap_or_else(|found| panic!("the blocks of '{title}': {found:#?}"))
}

/// The commands of a block, one by one.
fn commands(block: &str) -> Vec<String> {
    block.replace("\\\n", "").lines().map(str::to_owned).collect()
}

/// Waits until redis answers on the recipes' port.
#[track_caller]
fn await_redis(host: &Host<'_>) {
    // A client that closes its connection at once may get no answer.
    let ask = "{ printf 'PING\\r\\n'; sleep 0.1; } | nc 127.0.0.1 6380";
    harness::await_true("an answer of redis", || host.run(ask).out.concat().starts_with("+PONG"));
}

/// Waits until the pidfile contains another pid than `before`, and returns that pid.
#[track_caller]
fn await_other(host: &Host<'_>, pidfile: &str, before: &str) -> String {
    harness::await_some("another server", || Some(host.pid(pidfile)).filter(|pid| pid != before))
}

/// Kills the process with this pid in the host, waits for the call in the foreground, and checks that nothing is left.
#[track_caller]
fn end(host: &Host<'_>, foreground: Running, pid: &str) {
    host.run(&format!("kill {pid}")).assert_exited(0);
    foreground.finish();
    host.assert_nothing_runs();
}

/// Waits until exactly one httpd runs, and returns its pid.
#[track_caller]
fn httpd(host: &Host<'_>) -> String {
    harness::await_some("one httpd", || {
        let found = host.run("ps -o pid,args | awk '$2 ~ /busybox$/ && $3 == \"httpd\" { print $1 }'").out;
        <[String; 1]>::try_from(found).ok().map(|[pid]| pid)
    })
}

#[test]
fn a_server_as_a_user_with_a_pidfile() {
    needs!(can_make_hosts());
    let [start] = blocks("Run a server as a user, with a pidfile");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &[]);
    let shell = host.call(&start).start();
    host.await_page(PAGE, "hello");
    let pid = host.pid("/run/httpd.pid");
    assert_eq!(host.status(&pid, "Uid"), "33\t33\t33\t33");
    assert_eq!(host.status(&pid, "Name"), "busybox");
    let parent = host.status(&pid, "PPid");
    assert_ne!(host.status(&parent, "Name"), "vsrun", "vsrun has become the server");
    let second = host.run(&start);
    assert!(second.assert_exited(125).err[0].contains("already running"), "{second:?}");
    host.run("vsrun --stop /run/httpd.pid").assert_exited(0);
    shell.finish();
    host.assert_nothing_runs_but(&["httpd.pid"]);
}

#[test]
fn a_server_in_a_jail() {
    needs!(can_make_hosts());
    let [jail, start] = blocks("Put it into a jail");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &[]);
    host.run(&jail).assert_exited(0).assert_silent();
    let shell = host.call(&start).start();
    host.await_page(PAGE, "hello");
    let pid = httpd(&host);
    let seen = host.run(&format!("readlink /proc/{pid}/root; readlink /proc/{pid}/cwd"));
    assert_eq!(seen.out, ["/srv/jail", "/srv/jail/www"]);
    assert_eq!(host.status(&pid, "Uid"), "33\t33\t33\t33");
    end(&host, shell, &pid);
}

#[test]
fn a_server_in_the_background_with_syslog() {
    needs!(can_make_hosts());
    let [start] = blocks("In the background, with syslog");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &["syslog"]);
    host.run(&start).assert_exited(0).assert_silent();
    host.await_page(PAGE, "hello");
    let logged = || host.text("/var/log/messages").lines().any(|line| line.contains(" httpd") && line.contains(":200"));
    harness::await_true("the request in the syslog", logged);
    // The caller gets an error if the command cannot be executed, but not if the server fails later: here its port is
    // in use, and only the log says so.
    let failed = host.run(&start.replace("busybox httpd", "busybux httpd").replace("httpd.pid", "other.pid"));
    failed.assert_failed(127, &["busybux"]);
    host.run(&start.replace("httpd.pid", "other.pid")).assert_exited(0).assert_silent();
    harness::await_true("the reason in the syslog", || {
        host.text("/var/log/messages").contains("Address already in use")
    });
    host.run("vsrun --stop /run/httpd.pid").assert_exited(0);
}

#[test]
fn a_server_in_the_background_with_log_files() {
    needs!(can_make_hosts(), harness::tool("redis-server"));
    let [start] = blocks("In the background, with log files");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &["redis-server"]);
    for count in 1..=2 {
        host.run(&start).assert_exited(0).assert_silent();
        await_redis(&host);
        assert_eq!(host.status(&host.pid("/run/redis.pid"), "Uid"), "102\t102\t102\t102");
        assert!(host.text("/var/log/redis/logfile").contains("eady to accept connections"));
        assert_eq!(harness::names(&host.path("/var/log/redis")).len(), 2 * count, "new files, and the old ones");
        host.run("vsrun --stop /run/redis.pid").assert_exited(0);
    }
}

#[test]
fn a_server_that_is_restarted_after_a_crash_which_is_reported() {
    needs!(can_make_hosts(), harness::tool("redis-server"));
    let [handler, start] = blocks("Restart it after a crash, and report each crash");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &["redis-server", "mail"]);
    assert_eq!(host.save(&handler), "/usr/local/sbin/server-died");
    let shell = host.call(&start).start();
    await_redis(&host);
    let manager = host.pid("/run/redis-manager.pid");
    let first = host.run("pidof redis-server").out.concat();
    host.run(&format!("kill -SEGV {first}")).assert_exited(0);
    harness::await_true("another server", || {
        ![first.as_str(), ""].contains(&&*host.run("pidof redis-server").out.concat())
    });
    await_redis(&host);
    let mail = host.text("/var/mail/root");
    assert!(mail.starts_with("-s redis-server --port 6380: killed by signal 11 root\n"), "{mail}");
    assert_eq!(mail.lines().count(), 21, "the last 20 lines of the server: {mail}");
    end(&host, shell, &manager);
}

#[test]
fn recipe_all_of_it_works() {
    needs!(can_make_hosts());
    let [jail, _] = blocks("Put it into a jail");
    let [handler, make_executable] = blocks("Restart it after a crash, and report each crash");
    let [start, control] = blocks("All of it");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &["mail"]);
    host.run(&jail).assert_exited(0);
    host.save(&handler);
    host.run(&commands(&make_executable)[0]).assert_exited(0).assert_silent();

    host.run(&start).assert_exited(0).assert_silent();
    host.await_page(PAGE, "hello");
    let (pidfile, logs) = ("/run/httpd.pid", "/var/log/httpd");
    let mut pid = host.pid(pidfile);
    let [restart, stop] = <[String; 2]>::try_from(commands(&control)).unwrap();
    host.run(&restart).assert_exited(0).assert_silent();
    pid = await_other(&host, pidfile, &pid);
    host.await_page(PAGE, "hello");
    assert_eq!(harness::names(&host.path(logs)).len(), 4, "new log files");
    // The manager restarts the server after five crashes within a minute, and gives up at the sixth.
    for crash in 1..=5 {
        host.run(&format!("kill -SEGV {pid}")).assert_exited(0);
        pid = await_other(&host, pidfile, &pid);
        let mail = host.text("/var/mail/root");
        assert_eq!(mail.matches("httpd -f -v -p 8080: killed by signal 11 root").count(), crash, "{mail}");
    }
    host.run(&format!("kill -SEGV {pid}")).assert_exited(0);
    harness::await_true("the end", || host.run("vsrun --status /run/httpd-manager.pid").code() == Some(3));
    assert!(host.text(&format!("{logs}/vsrun.log")).contains("giving up"));
    host.assert_nothing_runs();

    host.run(&start).assert_exited(0).assert_silent();
    host.run(&stop).assert_exited(0).assert_silent();
    host.assert_nothing_runs();
}

/// The server of the recipe's image. The image contains only this script and vsrun; the test adds what the script
/// needs.
const SERVER: &str = "#!/busybox sh
[ $# = 0 ] || exit \"$1\"
exec /busybox httpd -f -p 8080 -h /www
";

#[test]
fn pid_1_of_a_container() {
    needs!(
        harness::can_run_containers(),
        harness::tool("buildah"),
        harness::tool("umoci"),
        harness::tool("busybox"),
        can_make_hosts()
    );
    let [dockerfile, variables, health, restarted, image] = blocks("As PID 1 of a container");
    let sandbox = Sandbox::new();
    let context = sandbox.path("context");
    fs::create_dir(&context).unwrap();
    harness::sandbox::copy(&harness::sandbox::built("vsrun"), &context.join("vsrun"));
    harness::sandbox::write_executable(&context.join("server"), SERVER.as_bytes());
    fs::write(context.join("Dockerfile"), format!("{dockerfile}\n{health}\n")).unwrap();
    let built = format!("{}:web", sandbox.path("image").display());
    let line = words!["bud", "--isolation", "chroot", "--tag", format!("oci:{built}"), &context];
    harness::buildah(&sandbox, line).assert_exited(0);
    let bundle = || {
        let bundle = Bundle::of_image(&sandbox, &built);
        assert_eq!(harness::names(&bundle.root()), ["server", "vsrun"]);
        bundle.change(".root.readonly = true | .process.capabilities = {}", words![]);
        harness::sandbox::copy(&harness::find_tool("busybox").unwrap(), &bundle.root().join("busybox"));
        fs::create_dir(bundle.root().join("www")).unwrap();
        fs::write(bundle.root().join("www/health"), "ok\n").unwrap();
        bundle
    };

    // The arguments of `docker run` are passed to the server, and the container exits with the server's status.
    let short = bundle();
    short.change(".process.args += [\"3\"]", words![]);
    short.run().finish().assert_exited(3);

    let long = bundle();
    let runc = long.start();
    let probe = health.strip_prefix("HEALTHCHECK CMD ").unwrap();
    let probe: Vec<OsString> =
        probe.trim_matches(['[', ']']).split(", ").map(|word| word.trim_matches('"').into()).collect();
    harness::await_true("a healthy server", || long.exec(probe.clone()).finish().code() == Some(0));
    assert_eq!(process::status(long.pid1(), "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(process::status(long.pid1(), "CapEff"), "0000000000000000");
    long.kill("TERM");
    let ended = runc.finish();
    assert!(ended.assert_exited(128 + libc::SIGTERM).err.is_empty(), "{ended:?}");

    // The command that replaces an entrypoint script.
    let host_sandbox = Sandbox::new();
    let host = Host::new(&host_sandbox, &[]);
    host.write("/etc/app.env", "# as for Docker\nPORT=8081\nDB_PASSWORD_FILE=/run/secrets/db");
    host.write("/run/secrets/db", "hunter2");
    host.write("/server", "#!/bin/sh\necho \"$DB_PASSWORD $DB_PASSWORD_FILE $*\"");
    host.run("chmod +x /server").assert_exited(0);
    assert_eq!(host.run(&variables).assert_exited(0).out, ["hunter2  migrate", "hunter2  --port 8081"]);
    host.write("/etc/app.env", "DB_PASSWORD=other");
    assert_eq!(host.run(&variables).assert_exited(0).out, ["other  migrate", "other  --port 8080"]);

    // After a request to stop, the server continues for the stop delay; a second request ends the delay. (health.rs
    // tests the restart of a server that has stopped answering.)
    host.write("/srv/www/health", "ok");
    host.write(
        "/server",
        "#!/bin/sh\nwhile [ ! -e /tmp/go ]; do usleep 10000; done; exec busybox httpd -f -p 8080 -h /srv/www",
    );
    let shell = host.call(&restarted).start();
    // The delay applies only to a server that is ready. Its readiness is recorded only after a failed attempt, so wait
    // for one.
    shell.await_err("--ready probe:8080/health failed: ");
    host.write("/tmp/go", "");
    shell.await_err("--ready probe:8080/health succeeds");
    host.run("kill $(pidof vsrun)").assert_exited(0);
    shell.await_err("received SIGTERM");
    host.await_page(":8080/health", "ok");
    host.run("kill $(pidof vsrun)").assert_exited(0);
    shell.finish().assert_exited(0);
    host.assert_nothing_runs_but(&["secrets"]);

    // `make image` must write the file that the recipe loads. image.rs tests the image itself.
    let (make, load) = image.split_once(" && docker load -i ").unwrap();
    let file = load.split(' ').next().unwrap();
    let shell = harness::find_tool("sh").unwrap();
    let would = sandbox.program(&shell, words!["-c", format!("{make} -n")]).directory(&top("")).finish();
    assert!(
        would.assert_exited(0).out.iter().any(|line| line.starts_with("tools/image ") && line.ends_with(file)),
        "{would:?}"
    );
}

#[test]
fn an_rc_script_in_one_file() {
    needs!(can_make_hosts(), harness::tool("redis-server"));
    let [service, control] = blocks("An rc script in one file");
    let [check, _] = blocks("Test a service before a reboot");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &["redis-server"]);
    assert_eq!(host.save(&service), "/etc/rc.d/redis");
    let [make_executable, start, status, stop] = <[String; 4]>::try_from(commands(&control)).unwrap();
    host.run(&make_executable).assert_exited(0).assert_silent();
    host.run(&check).assert_exited(0);
    host.run(&start).assert_exited(0);
    await_redis(&host);
    let mut pid = host.pid("/run/redis.pid");
    let call = |action: &str| host.run(&format!("/etc/rc.d/redis {action}"));
    for action in ["reload", "restart"] {
        call(action).assert_exited(0);
        pid = await_other(&host, "/run/redis.pid", &pid);
        await_redis(&host);
    }
    assert!(host.run(&status).assert_exited(0).out[0].starts_with("running: pid "));
    assert!(host.run("vsrun --status /etc/rc.d/redis").assert_exited(0).out[0].starts_with("running: pid "));
    let running = host.run(&check);
    assert!(running.assert_exited(125).out.concat().contains("already running"), "{running:?}");
    host.run(&stop).assert_exited(0);
    host.assert_nothing_runs();
    host.run(&status).assert_exited(3);
    call("nonsense").assert_exited(2);
    // A failed start is reported.
    host.write("/usr/bin/redis-server", "#!/bin/sh\nexit 1");
    let failed = call("start");
    assert!(failed.code() != Some(0) && failed.err.iter().any(|line| line.contains("ready")), "{failed:?}");
    host.assert_nothing_runs();
}

#[test]
fn an_empty_root() {
    needs!(emulation(), can_make_hosts());
    let [init, boot, last_line] = blocks("An empty root");
    let sandbox = Sandbox::new();
    let root = sandbox.path("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("init"), format!("{init}\n")).unwrap();
    harness::sandbox::copy(&harness::sandbox::built("vsrun"), &root.join("vsrun"));
    harness::sandbox::copy(&harness::sandbox::built("probe"), &root.join("probe"));
    harness::sandbox::make_directory(&root.join("out"), 0o777);
    harness::qemu::make_serial_line(&root);
    // In its first run the server crashes. In the second it writes a report to the serial line and exits with 0.
    let server = "#!/probe run\nlife\n/out/life\nat\n1\nsegv\nreport\n/out/report\ncopy\n/out/report\n/serial\n";
    harness::sandbox::write_executable(&root.join("server"), server.as_bytes());
    let said = Emulated::boot_as_typed(&sandbox, &boot).finish();
    assert_in_order(&said, &["killed by SIGSEGV", "uids 80 80 80", "reboot: Power down"]);

    // In a pid namespace, reboot(2) with a power-off kills PID 1 with SIGINT instead.
    let root = sandbox.path("second");
    fs::create_dir_all(root.join("sbin")).unwrap();
    harness::sandbox::copy(&harness::sandbox::built("vsrun"), &root.join("sbin/vsrun"));
    harness::sandbox::copy(&harness::sandbox::built("probe"), &root.join("sbin/probe"));
    harness::sandbox::copy(&harness::find_tool("busybox").unwrap(), &root.join("sh"));
    let server = "#!/sbin/probe run\nlife\n/life\nuntil\n2\nexit\n0\nchild\n/child\nwait\n";
    harness::sandbox::write_executable(&root.join("sbin/server"), server.as_bytes());
    harness::sandbox::write_executable(&root.join("init"), format!("#!/sh\n{last_line}\n").as_bytes());
    let line = words!["--pid", "--fork", "--kill-child", "--root", &root, "--", "/init"];
    let outside = sandbox.program(&harness::find_tool("unshare").unwrap(), line).start();
    harness::await_lines(&root.join("life"), 3);
    harness::await_lines(&root.join("child"), 1);
    let first = process::children(outside.pid())[0];
    harness::sys::kill(first, libc::SIGTERM);
    let ended = outside.finish();
    assert_eq!(ended.signal(), Some(libc::SIGINT), "{ended:?}");
    // The server's child ignores SIGTERM.
    let killed = "sending SIGKILL to the process group";
    assert!(ended.err.iter().any(|line| line.contains(killed)), "{ended:?}");
}

#[test]
fn waiting_until_the_server_is_ready() {
    needs!(can_make_hosts(), harness::tool("redis-server"));
    let [notify, probe, newline] = blocks("Wait until the server is ready");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &["redis-server"]);
    host.run(&notify).assert_exited(0).assert_silent();
    // No wait is needed, because the server is ready.
    assert_eq!(host.run("{ printf 'PING\\r\\n'; sleep 0.1; } | nc 127.0.0.1 6380").out.concat().trim(), "+PONG");
    host.run("vsrun --stop /run/redis-manager.pid").assert_exited(0);
    host.assert_nothing_runs();
    // The start fails if the port is in use.
    let holder = host.call("exec nc -l -p 6380").start();
    harness::await_true("the port in use", || host.run("netstat -ltn | grep -q :6380").code() == Some(0));
    host.run(&notify).assert_exited(125);
    host.assert_nothing_runs();
    drop(holder);

    // No wait is needed, because the server already serves its page.
    host.run(&probe).assert_exited(0).assert_silent();
    assert_eq!(host.run(&format!("wget -q -O - http://127.0.0.1{PAGE}")).out, ["hello"]);
    host.run("vsrun --stop /run/web.pid").assert_exited(0);
    host.assert_nothing_runs();

    let script = |name: &str, text: &str| {
        host.write(&format!("/usr/local/bin/{name}"), &format!("#!/bin/sh\n{text}"));
        host.run(&format!("chmod +x /usr/local/bin/{name}")).assert_exited(0);
    };
    script("webserver", "ls -l /proc/self/fd >/tmp/descriptors; exec sleep 1000");
    script("prepare", "exit 1");
    let failed = host.run(&newline);
    assert!(failed.assert_exited(125).err.last().unwrap().contains("ready"), "{failed:?}");
    host.assert_nothing_runs();
    assert!(!host.path("/tmp/descriptors").exists());
    script("prepare", "touch /tmp/prepared");
    host.run(&newline).assert_exited(0);
    assert!(host.path("/tmp/prepared").exists());
    harness::await_true("the server", || host.text("/tmp/descriptors").contains(" 2 -> "));
    assert!(!host.text("/tmp/descriptors").contains(" 4 -> "), "{}", host.text("/tmp/descriptors"));
    host.run("vsrun --stop /run/web.pid").assert_exited(0);
    host.assert_nothing_runs();
}

#[test]
fn a_restart_that_refuses_no_connection() {
    needs!(can_make_hosts(), harness::tool("gunicorn"));
    let [application, start] = blocks("Restart without refusing a connection");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &["gunicorn"]);
    host.save(&application);
    host.run(&start).assert_exited(0).assert_silent();
    host.await_page(":80/", "hello");
    // One client after another connects, until three have been served after the restart.
    let clients = "signalled=0
        while [ $signalled -lt 3 ]; do
            wget -q -O - http://127.0.0.1:80/ || { echo refused; break; }
            echo
            [ -e /tmp/restarted ] && signalled=$((signalled + 1))
        done";
    let clients = host.call(clients).start();
    harness::await_true("clients", || clients.out().len() > 3);
    let records = || host.text("/var/log/app/vsrun.log").matches("started: pid").count();
    host.run("vsrun --signal HUP /run/app.pid").assert_exited(0);
    harness::await_true("another server", || host.path("/var/log/app/vsrun.log.1").exists() && records() == 1);
    host.run("touch /tmp/restarted").assert_exited(0);
    let served = clients.finish();
    assert!(served.out.iter().filter(|line| !line.is_empty()).all(|line| line == "hello"), "{served:?}");
    host.run("vsrun --stop /run/app.pid").assert_exited(0);
    host.assert_nothing_runs();
}

#[test]
fn a_deployment_that_no_client_notices() {
    needs!(can_make_hosts(), harness::tool("gunicorn"));
    let [application, _] = blocks("Restart without refusing a connection");
    let [start, deploy, session] = blocks("Deploy a new version that no client notices");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &["gunicorn"]);
    let path = host.save(&application);
    host.run(&start).assert_exited(0).assert_silent();
    host.await_page("/", "hello");
    let first = host.pid("/run/app.pid");
    host.write("/srv/app/app-2.py", &application.replace("hello", "version 2"));
    host.run(&deploy).assert_exited(0).assert_silent();
    host.await_page("/", "version 2");
    let second = host.pid("/run/app.pid");
    assert_ne!(first, second);
    // A version that does not work is rolled back, and the running server is not affected.
    host.write(&path, "import nothing_like_this");
    assert_session(&host, &session, 0);
    assert_eq!(host.pid("/run/app.pid"), second);
    host.await_page("/", "version 2");
    assert!(host.run(&format!("cat {path}")).assert_exited(0).out.concat().contains("hello"));
    host.run("vsrun --stop /run/app.pid").assert_exited(0);
    host.assert_nothing_runs();
}

#[test]
fn signals_that_do_something_else() {
    needs!(can_make_hosts());
    let [start] = blocks("Change what a signal does");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &[]);
    host.write("/srv/www/index.html", "hello");
    host.run(&start).assert_exited(0).assert_silent();
    host.await_page(PAGE, "hello");
    let server = httpd(&host);
    // HUP: the server reads its configuration, which now refuses every client.
    host.write("/etc/httpd.conf", "D:*");
    host.run("vsrun --signal HUP /run/web.pid").assert_exited(0);
    let refused = "wget -q -O - http://127.0.0.1:8080/index.html";
    harness::await_true("the new configuration", || host.run(refused).err.concat().contains("403"));
    assert_eq!(httpd(&host), server);
    // USR1: after the log files were renamed, vsrun creates new ones with the old names.
    host.run("cd /var/log/web; mv logfile logfile-20260101; mv vsrun.log vsrun.log-20260101").assert_exited(0);
    host.run("vsrun --signal USR1 /run/web.pid").assert_exited(0);
    harness::await_true("both files", || {
        harness::names(&host.path("/var/log/web")) == ["logfile", "logfile-20260101", "vsrun.log", "vsrun.log-20260101"]
    });
    assert_eq!(httpd(&host), server);
    host.run("vsrun --stop /run/web.pid").assert_exited(0);
    host.assert_nothing_runs();
}

#[test]
fn port_80_and_no_other_privilege() {
    needs!(can_make_hosts());
    let [start] = blocks("Port 80 and no other privilege of root");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &[]);
    host.write("/srv/www/index.html", "hello");
    let shell = host.call(&start).start();
    host.await_page(":80/index.html", "hello");
    let pid = httpd(&host);
    assert_eq!(host.status(&pid, "Uid"), "33\t33\t33\t33");
    for set in ["CapBnd", "CapPrm", "CapEff"] {
        assert_eq!(host.status(&pid, set), "0000000000000400", "{set}");
    }
    assert_eq!(host.status(&pid, "NoNewPrivs"), "1");
    let environment = host.text(&format!("/proc/{pid}/environ"));
    assert!(environment.split('\0').any(|entry| entry == "DB_PASSWORD=secret"), "{environment:?}");
    let limits = host.text(&format!("/proc/{pid}/limits"));
    assert!(limits.lines().any(|line| line.starts_with("Max open files            16384 ")), "{limits}");
    let modes = host.run("stat -c %a /etc/web.env");
    assert_eq!(modes.out, ["700"]);
    end(&host, shell, &pid);
}

/// A dynamically linked program that needs musl's loader: an ELF header, the loader's path, and no code.
fn needs_musl() -> Vec<u8> {
    const LOADER: &[u8] = b"/lib/ld-musl-x86_64.so.1\0";
    let size = LOADER.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
    file.extend([0, 64, 0].iter().flat_map(|value: &u64| value.to_le_bytes()));
    file.extend(b"\0\0\0\0\x40\0\x38\0\x01\0\0\0\0\0\0\0");
    // The program header of type PT_INTERP, which contains the loader's path.
    file.extend(b"\x03\0\0\0\x04\0\0\0");
    file.extend([120, 0, 0, size, size, 1].iter().flat_map(|value: &u64| value.to_le_bytes()));
    file.extend(LOADER);
    file
}

#[test]
fn a_dry_run() {
    needs!(can_make_hosts());
    let [_, session] = blocks("Test a service before a reboot");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &[]);
    host.run("mkdir -p /srv/jail/usr/sbin").assert_exited(0);
    fs::write(host.path("/srv/jail/usr/sbin/lighttpd"), needs_musl()).unwrap();
    host.run("chmod +x /srv/jail/usr/sbin/lighttpd").assert_exited(0);
    assert_session(&host, &session, 125);
}

/// Runs the command after the prompt in `session`, and expects the lines after it as the output, and this exit status.
#[track_caller]
fn assert_session(host: &Host<'_>, session: &str, status: i32) {
    let (command, printed) = session.strip_prefix("# ").unwrap().split_once('\n').unwrap();
    let ended = host.run(command);
    let lines = [&ended.out[..], &ended.err].concat();
    assert_eq!(lines, printed.lines().collect::<Vec<_>>(), "{command}");
    assert_eq!(ended.code(), Some(status), "{command}");
}

#[test]
fn a_unit_of_systemd() {
    needs!(harness::can_boot_machines(), harness::tool("busybox"));
    let [service] = blocks("Under systemd");
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    machine.unit("web.service", &format!("{service}\n"));
    fs::write(machine.path("/srv/www/index.html"), "hello\n").unwrap();
    let systemctl = |action: &str| {
        machine.systemctl(&[action, "web.service"]).assert_exited(0).assert_silent();
    };
    let page = || {
        let get = words!["/bin/busybox", "wget", "-q", "-O", "-", format!("http://127.0.0.1{PAGE}")];
        machine.run(get).out == ["hello"]
    };
    let server = || process::children(machine.main("web.service"));
    systemctl("start");
    harness::await_true("the page", page);
    let (manager, first) = (machine.main("web.service"), server());
    assert_eq!(process::status(first[0], "Uid"), "800\t800\t800\t800");
    systemctl("reload");
    harness::await_true("another server", || ![first.clone(), vec![]].contains(&server()) && page());
    assert_eq!(machine.main("web.service"), manager);
    systemctl("stop");
    assert_eq!(machine.property("web.service", "Result"), "success");
    machine.power_off();
}

#[test]
fn a_jail_without_root() {
    needs!(can_make_hosts());
    let [start] = blocks("A jail without root");
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox, &[]);
    let works = host.run("vsrun --rwx / --bind-tcp none --scope signal -- true").code() == Some(0);
    needs!(harness::available(works, "a kernel with Landlock of Linux 6.12"));
    let shell = host.call(&start).start();
    host.await_page(PAGE, "hello");
    // A link that leads out of the directory that the server may read.
    host.run("ln -s /etc/passwd /srv/www/passwd").assert_exited(0);
    let leaked = host.run("wget -q -O - http://127.0.0.1:8080/passwd");
    assert!(leaked.code() != Some(0) && leaked.out.is_empty(), "{leaked:?}");
    end(&host, shell, &httpd(&host));
    // A port other than the permitted one.
    let other = host.run(&start.replace("-p 8080", "-p 8081"));
    assert!(other.err.concat().contains("Permission denied"), "{other:?}");
}

#[test]
fn limits_for_all_that_the_server_starts() {
    needs!(super::machine::can_boot());
    let [start] = blocks("Limits for everything that the server starts");
    let sandbox = Sandbox::new();
    let options = ["--at-exit", "poweroff", "--mount", "proc,sys,dev,run,cgroup", "--init"];
    let script = format!(
        "ln -s /vsrun /bin/vsrun; ip link set lo up; mkdir -p /srv/www; echo hello >/srv/www/index.html
{{
{start}
}} &
cd /sys/fs/cgroup
until wget -q -O - http://127.0.0.1{PAGE}; do usleep 50000; done
echo $(cat web/memory.max web/pids.max) $(wc -l <web/cgroup.procs)
cat /proc/$(head -n 1 web/cgroup.procs)/cmdline | tr '\\0' ' '; echo
kill $(grep -l cgroup-se[t] /proc/[0-9]*/cmdline | cut -d / -f 3)
wait
[ -e web ] || echo the group is removed; exit 0"
    );
    let said = super::machine::boot(&sandbox, &options, &script).finish();
    let parts = ["hello", "536870912 200 1", "busybox httpd -f", "the group is removed", "reboot: Power down"];
    assert_in_order(&said, &parts);
}

/// microvm.rs boots such machines. This test shows only that `make` accepts the recipe's lines, and vsrun its file.
#[test]
fn a_container_image_as_a_machine() {
    let [makes, service] = blocks("A container image as a machine of its own");
    let sandbox = Sandbox::new();
    let shell = harness::find_tool("sh").unwrap();
    for line in makes.lines() {
        let command = line.split('#').next().unwrap().trim_end();
        let would = sandbox.program(&shell, words!["-c", format!("{command} -n")]).directory(&top("")).finish();
        assert!(would.assert_exited(0).out.iter().any(|line| line.starts_with("tools/microvm ")), "{would:?}");
    }
    let file = sandbox.path("init");
    fs::write(&file, &service).unwrap();
    // Every line is a valid option: status 2 would be a usage error. The start fails, because the test is no machine.
    let ended = sandbox.vsrun(words!["--args", &file]).finish();
    assert_eq!(ended.code(), Some(125), "{ended:?}");
}

#[test]
fn every_recipe_is_run_by_a_test() {
    let tests = include_str!("recipes.rs");
    let all = recipes();
    assert!(all.len() > 10, "{all:#?}");
    for (title, _) in all {
        assert!(tests.contains(&format!("= blocks(\"{title}\");")), "no test runs the recipe '{title}'");
    }
}
