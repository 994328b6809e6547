//! The Landlock rules that the options produce, tested without a kernel.

use super::*;

fn confinement(paths: &[(PathAccess, &str)], ports: &[(u64, &str)], scope: &str) -> Confinement {
    let mut made = Confinement::default();
    for (reach, path) in paths {
        let option = PATH_OPTIONS.iter().find(|(_, other)| other == reach).unwrap().0;
        assert!(made.add_option_value(option, path.as_bytes()));
    }
    for (direction, port) in ports {
        let option = if *direction == BIND_TCP { Id::BindTcp } else { Id::ConnectTcp };
        assert!(made.add_option_value(option, port.as_bytes()));
    }
    if !scope.is_empty() {
        assert!(made.add_option_value(Id::Scope, scope.as_bytes()));
    }
    made
}

fn handled(made: &Confinement, abi: u32) -> HandledRights {
    match made.steps(LandlockSupport::Abi(abi), None).unwrap().first() {
        Some(Step::CreateLandlockRuleset(handled)) => *handled,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_right_the_kernel_knows_is_handled() {
    let files = confinement(&[(PathAccess::Ro, "/x")], &[], "");
    for (abi, rights) in [(3, 0x7fff), (4, 0x7fff), (5, 0xffff), (6, 0xffff), (99, 0xffff)] {
        assert_eq!(handled(&files, abi), HandledRights { file_rights: rights, tcp_rights: 0, scope: 0 }, "ABI {abi}");
    }
    let tcp = confinement(&[], &[(BIND_TCP, "80"), (CONNECT_TCP, "none")], "");
    assert_eq!(handled(&tcp, 4), HandledRights { file_rights: 0, tcp_rights: 3, scope: 0 });
    let scopes = confinement(&[], &[], "abstract,signal");
    assert_eq!(handled(&scopes, 6), HandledRights { file_rights: 0, tcp_rights: 0, scope: 3 });
    assert_eq!(handled(&confinement(&[], &[], "signal"), 6).scope, 2);
    assert!(scopes.hides_abstract_sockets() && !confinement(&[], &[], "signal").hides_abstract_sockets());
}

#[test]
fn each_option_allows_what_its_name_says() {
    const EXECUTE: u64 = 1;
    for (reach, old, new) in [
        (PathAccess::Ro, 0b1100, 0b1100),
        (PathAccess::Rox, 0b1101, 0b1101),
        (PathAccess::Rw, 0x7fff & !EXECUTE, 0xffff & !EXECUTE),
        (PathAccess::Rwx, 0x7fff, 0xffff),
    ] {
        assert_eq!((reach.rights(0x7fff), reach.rights(0xffff)), (old, new), "{reach:?}");
        assert_eq!(reach.rights_in_check_mode() & file_right::READ_FILE != 0, new & EXECUTE != 0, "{reach:?}");
        assert_eq!(reach.rights_in_check_mode() & !file_right::READ_FILE_AND_DIR, 0, "{reach:?}");
    }
}

#[test]
fn rules_keep_their_order_and_confine_comes_after_them() {
    let made = confinement(&[(PathAccess::Rox, "/a"), (PathAccess::Rw, "b")], &[(CONNECT_TCP, "443")], "signal");
    let expected = [
        Step::CreateLandlockRuleset(HandledRights { file_rights: 0xffff, tcp_rights: CONNECT_TCP, scope: 2 }),
        Step::AddLandlockRule(Rule::Path(PathAccess::Rox, c"/a"), 0xffff),
        Step::AddLandlockRule(Rule::Path(PathAccess::Rw, c"b"), 0xffff),
        Step::AddLandlockRule(Rule::Port(CONNECT_TCP, 443), 0xffff),
        Step::LandlockRestrictSelf,
        Step::VerifyLandlockCwd(c"/srv"),
    ];
    assert_eq!(made.steps(LandlockSupport::Abi(7), Some(c"/srv")).unwrap(), expected);
    assert_eq!(Confinement::default().steps(LandlockSupport::NotQueried, None).unwrap(), []);
    // File access is not confined, so the working directory is not verified.
    let ports = confinement(&[], &[(BIND_TCP, "none")], "").steps(LandlockSupport::Abi(7), Some(c"/srv")).unwrap();
    assert!(matches!(ports[..], [Step::CreateLandlockRuleset(_), Step::LandlockRestrictSelf]), "{ports:?}");
}

#[test]
fn an_older_kernel_is_refused_and_the_needed_one_named() {
    let files = confinement(&[(PathAccess::Ro, "/")], &[], "");
    let tcp = confinement(&[(PathAccess::Ro, "/")], &[(BIND_TCP, "1")], "");
    let scope = confinement(&[(PathAccess::Ro, "/")], &[(BIND_TCP, "1")], "signal");
    for (made, abi, release) in [(&files, 3, "Linux 6.2 "), (&tcp, 4, "Linux 6.7 "), (&scope, 6, "Linux 6.12 ")] {
        assert!(made.steps(LandlockSupport::Abi(abi), None).is_ok());
        let old = [
            LandlockSupport::Abi(abi - 1),
            LandlockSupport::Abi(0),
            LandlockSupport::Missing,
            LandlockSupport::Disabled,
            LandlockSupport::Refused,
        ];
        for kernel in old.into_iter().chain([LandlockSupport::NotQueried]) {
            let error = made.steps(kernel, None).unwrap_err();
            assert!(error.to_string().contains(release) && error.exit_status == 125, "{kernel:?}: {}", error);
        }
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    for port in ["0", "65536", "", "x", "80/udp", "-1", "None"] {
        assert!(!Confinement::default().add_option_value(Id::BindTcp, port.as_bytes()), "{port}");
    }
    for scope in ["", "signal,", "signals", "abstract signal", "none"] {
        assert!(!Confinement::default().add_option_value(Id::Scope, scope.as_bytes()), "{scope}");
    }
    for both in [["none", "80"], ["80", "none"], ["none", "none"]] {
        let mut made = Confinement::default();
        assert!(made.add_option_value(Id::BindTcp, both[0].as_bytes()));
        assert!(made.add_option_value(Id::ConnectTcp, both[1].as_bytes()), "the other direction");
        assert!(!made.add_option_value(Id::BindTcp, both[1].as_bytes()), "{both:?}");
    }
    let mut full = Confinement::default();
    let wrong = (0..=192).map(|_| full.add_option_value(Id::Ro, b"/")).filter(|fine| !fine).count();
    assert_eq!(wrong, 1);
}
