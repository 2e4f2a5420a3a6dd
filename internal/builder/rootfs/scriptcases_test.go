package rootfs

const envOf = "env | grep -E '^(DPKG|DEBIAN_FRONTEND|PATH|TERM|SHELL|HOME)' | sort"

// statusOf shows what dpkg's database says of a package.
const statusOf = "dpkg-query -W -f '${db:Status-Abbrev}|${Version}|${Conffiles}\\n' "

// scriptCases are about what maintainer scripts are told, and what they do to
// dpkg's database.
var scriptCases = []dpkgCase{
	{name: "arguments and environment", debs: []testDeb{{name: "a", version: "3.1", arch: arch,
		files: []testFile{file("opt/a/f", "a"), file("etc/a.conf", "a")}, members: map[string]string{
			"conffiles": "/etc/a.conf\n",
			"preinst": script(`echo "$0 $#:$1" > /opt/preinst`, envOf+" >> /opt/preinst", "umask >> /opt/preinst", "pwd >> /opt/preinst", "id -u >> /opt/preinst",
				"ls -l ${0%/*} | cut -c1-10 >> /opt/preinst"),
			"postinst": script(`echo "$0 $#:$1:$2" > /opt/postinst`, envOf+" >> /opt/postinst", "umask >> /opt/postinst", "pwd >> /opt/postinst",
				statusOf+"a >> /opt/postinst", "dpkg -L a >> /opt/postinst", "dpkg -V a >> /opt/postinst", "cat >> /opt/postinst"),
			"config": script("touch /opt/config"), "prerm": script("touch /opt/prerm", "exit 1"), "postrm": script("touch /opt/postrm", "exit 1"),
		}}}},
	{name: "what preinst finds", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/a/f", "a")}, members: map[string]string{"postinst": script(":")}},
		{name: "b", files: []testFile{file("opt/b/f", "b")}, members: map[string]string{
			"preinst": script(statusOf+"a b > /opt/said || true", "cat /opt/a/f >> /opt/said")}},
	}},
	{name: "preinst sees what it will unpack", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/a/f", "a")}, members: map[string]string{"preinst": script("test ! -e /opt/a/f || touch /opt/seen")}},
	}, differs: []allowedDifference{{"opt/seen", "extra", "all packages are unpacked before the first script runs", nil}}},
	{name: "scripts change what a later package brings", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/a/f", "a")}, members: map[string]string{"preinst": script("rm -f /opt/b/gone", "mkdir -p /opt/b"), "postinst": script("echo a > /opt/b/f")}},
		{name: "b", files: []testFile{file("opt/b/gone", "b"), file("opt/b/f", "b")}},
	}, differs: []allowedDifference{
		{"opt/b/gone", "missing", "all packages are unpacked before the first script runs", nil},
		{"opt/b/f", "content mtime", "likewise, as where apt unpacks all and then configures", nil},
	}},
	{name: "directories that scripts make first", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/a/f", "a")}, members: map[string]string{"postinst": script("install -d -o games -g mail -m 2750 /opt/b/d")}},
		{name: "b", files: []testFile{dir("opt/b/d"), file("opt/b/d/f", "b")}},
	}},
	{name: "preinst makes what it will unpack", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/a/f", "a")}, members: map[string]string{"preinst": script("mkdir -p /opt/a", "echo other > /opt/a/f")}},
	}, has: map[string]string{"opt/a/f": "a"}},
	{name: "preinst makes the conffile as it will be", debs: []testDeb{
		{name: "a", files: []testFile{file("etc/a.conf", "a\n")}, members: map[string]string{"conffiles": "/etc/a.conf\n", "preinst": script("echo a > /etc/a.conf")}},
	}, has: map[string]string{"etc/a.conf": "a\n"}},
	{name: "preinst makes another conffile", debs: []testDeb{
		{name: "a", files: []testFile{file("etc/a.conf", "a\n")}, members: map[string]string{"conffiles": "/etc/a.conf\n", "preinst": script("echo other > /etc/a.conf")}},
	}, has: map[string]string{"etc/a.conf": "other\n"}, dpkgFails: "it asks which one shall stay, and nobody answers; here the script's stays"},
	{name: "preinst removes and changes what it will unpack", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/a/f", "a").mode(0o4755), file("opt/a/g", "a").owned(0, 8, "root", "mail").mode(0o2750), symlink("opt/a/l", "f"), file("opt/a/d/e/f", "x"), file("opt/a/same", "same")},
			members: map[string]string{"preinst": script("rm -rf /opt/a/f /opt/a/d /opt/a/l", "mkdir -p /opt/a", "ln -s nowhere /opt/a/l", "echo more >> /opt/a/g")}},
	}, has: map[string]string{"opt/a/f": "a", "opt/a/g": "a", "opt/a/l": "f", "opt/a/d/e/f": "x"}},
	{name: "order", debs: []testDeb{
		{name: "b", files: []testFile{file("opt/b/f", "b")}, members: map[string]string{
			"preinst": script("echo b pre >> /opt/log"), "postinst": script("echo b post >> /opt/log", "test -e /opt/b/f")}},
		{name: "a", fields: "Pre-Depends: b\n", files: []testFile{file("opt/a/f", "a")}, members: map[string]string{
			"preinst": script("echo a pre >> /opt/log", statusOf+"b >> /opt/log", "cat /opt/b/f"), "postinst": script("echo a post >> /opt/log", statusOf+"b >> /opt/log")}},
	}, has: map[string]string{"opt/log": "b pre\nb post\na pre\nii |1|\na post\nii |1|\n"}},
	{name: "cycle of dependencies", together: true, debs: []testDeb{
		{name: "b", fields: "Depends: a\n", files: []testFile{file("opt/b/f", "b")}, members: map[string]string{"postinst": script("cat /opt/a/f >> /opt/seen-by-b")}},
		{name: "a", fields: "Depends: b\n", files: []testFile{file("opt/a/f", "a")}, members: map[string]string{"postinst": script("cat /opt/b/f >> /opt/seen-by-a")}},
	}, has: map[string]string{"opt/seen-by-a": "b", "opt/seen-by-b": "a"}},

	{name: "diversion, diverter first", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/f", "a")}, members: map[string]string{
			"preinst": script("dpkg-divert --package a --add --rename --divert /opt/x/f.distrib /opt/x/f")}},
		{name: "b", files: []testFile{file("opt/x/f", "b"), file("opt/x/b", "b")}},
	}, has: map[string]string{"opt/x/f": "a", "opt/x/f.distrib": "b"}},
	{name: "diversion, diverter last", debs: []testDeb{
		{name: "b", files: []testFile{file("opt/x/f", "b").mode(0o2755), file("opt/x/b", "b")}},
		{name: "a", files: []testFile{file("opt/x/f", "a").mode(0o4711)}, members: map[string]string{
			"preinst": script("dpkg-divert --package a --add --rename --divert /opt/x/f.distrib /opt/x/f")}},
	}, has: map[string]string{"opt/x/f": "a", "opt/x/f.distrib": "b"}},
	{name: "diversion without rename, diverter first", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/f", "a")}, members: map[string]string{
			"preinst": script("dpkg-divert --package a --add --no-rename --divert /opt/x/f.distrib /opt/x/f")}},
		{name: "b", files: []testFile{file("opt/x/f", "b"), file("opt/x/b", "b")}},
	}, has: map[string]string{"opt/x/f": "a", "opt/x/f.distrib": "b"}},
	{name: "diversion by one that ships nothing there", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/a", "a")}, members: map[string]string{
			"preinst": script("dpkg-divert --package a --add --rename --divert /opt/x/f.distrib /opt/x/f")}},
		{name: "b", files: []testFile{file("opt/x/f", "b"), symlink("opt/x/b", "f")}},
	}, has: map[string]string{"opt/x/f.distrib": "b"}},
	{name: "diversion in postinst", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/a", "a")}, members: map[string]string{
			"postinst": script("dpkg-divert --package a --add --rename --divert /opt/x/f.distrib /opt/x/f", "ln -s a /opt/x/f")}},
		{name: "b", files: []testFile{file("opt/x/f", "b")}},
		{name: "c", files: []testFile{file("opt/x/c", "c")}, members: map[string]string{
			"postinst": script("dpkg-divert --package c --add --rename --divert /opt/x/b.distrib /opt/x/b", "ln -sf a /opt/x/b")}},
	}, has: map[string]string{"opt/x/f": "a", "opt/x/f.distrib": "b"}},
	{name: "several diversions", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/1", "a"), file("opt/x/2", "a"), symlink("opt/x/3", "1")}, members: map[string]string{
			"preinst": script("for n in 1 2 3; do dpkg-divert --package a --add --rename --divert /opt/x/$n.b /opt/x/$n; done")}},
		{name: "b", files: []testFile{file("opt/x/1", "b"), symlink("opt/x/2", "1"), file("opt/x/3", "b").owned(0, 8, "root", "mail").mode(0o2755), file("opt/x/4", "b")}},
		{name: "c", files: []testFile{file("opt/x/4", "c")}, members: map[string]string{
			"preinst": script("dpkg-divert --package c --add --rename --divert /opt/x/4.b /opt/x/4")}},
	}, has: map[string]string{"opt/x/1": "a", "opt/x/1.b": "b", "opt/x/2.b": "1", "opt/x/3": "1", "opt/x/3.b": "b", "opt/x/4": "c", "opt/x/4.b": "b"}},
	{name: "diversion of a hard link", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/1", "a")}, members: map[string]string{
			"preinst": script("dpkg-divert --package a --add --rename --divert /opt/x/1.b /opt/x/1")}},
		{name: "b", files: []testFile{file("opt/x/1", "b"), hardLink("opt/x/2", "opt/x/1")}},
	}, has: map[string]string{"opt/x/1": "a", "opt/x/1.b": "b", "opt/x/2": "b"}, differs: []allowedDifference{
		{"opt/x/*", "names", "a hard link of the lower layer parts from its other names when it is moved", nil},
	}},
	{name: "diversion taken back", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/a", "a")}, members: map[string]string{
			"preinst":  script("dpkg-divert --package a --add --rename --divert /opt/x/f.distrib /opt/x/f"),
			"postinst": script("dpkg-divert --package a --remove --rename --divert /opt/x/f.distrib /opt/x/f")}},
		{name: "b", files: []testFile{file("opt/x/f", "b")}},
	}, has: map[string]string{"opt/x/f": "b"}},
	{name: "local diversion", debs: []testDeb{
		{name: "a", members: map[string]string{"postinst": script("dpkg-divert --local --add --rename --divert /opt/x/f.distrib /opt/x/f")}},
		{name: "b", files: []testFile{file("opt/x/f", "b")}},
	}, has: map[string]string{"opt/x/f.distrib": "b"}},
	{name: "diverted conffile", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/a/f", "a")}, members: map[string]string{
			"preinst": script("dpkg-divert --package a --add --rename --divert /etc/x.conf.distrib /etc/x.conf")}},
		{name: "b", files: []testFile{file("etc/x.conf", "b"), file("etc/y.conf", "y")}, members: map[string]string{"conffiles": "/etc/x.conf\n/etc/y.conf\n"}},
		{name: "c", files: []testFile{file("opt/c/f", "c")}, members: map[string]string{
			"postinst": script("dpkg-divert --package c --add --rename --divert /etc/y.conf.distrib /etc/y.conf")}},
	}, has: map[string]string{"etc/x.conf.distrib": "b", "etc/y.conf.distrib": "y"}},
	{name: "diversion and override of one path", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/a", "a")}, members: map[string]string{"preinst": script(
			"dpkg-divert --package a --add --rename --divert /opt/x/f.distrib /opt/x/f", "dpkg-statoverride --add root mail 2711 /opt/x/f")}},
		{name: "b", files: []testFile{file("opt/x/f", "b").owned(9, 9, "games", "games")}},
	}, has: map[string]string{"opt/x/f.distrib": "b"}},
	{name: "diversion through the merged usr", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/a", "a")}, members: map[string]string{"preinst": script(
			"dpkg-divert --package a --add --rename --divert /usr/lib/x/f.usr /usr/lib/x/f", "dpkg-divert --package a --add --rename --divert /lib/x/f.usr-is-merged /lib/x/f")}},
		{name: "b", files: []testFile{file("lib/x/f", "b")}},
	}, has: map[string]string{"usr/lib/x/f.usr-is-merged": "b"}},
	{name: "diversion of one name by the other, after the file", debs: []testDeb{
		{name: "b", files: []testFile{file("lib/x/f", "b"), file("usr/lib/x/g", "b")}},
		{name: "a", files: []testFile{file("opt/x/a", "a")}, members: map[string]string{"preinst": script(
			"for n in f g; do dpkg-divert --package a --add --rename --divert /usr/lib/x/$n.usr /usr/lib/x/$n", "dpkg-divert --package a --add --rename --divert /lib/x/$n.aliased /lib/x/$n; done")}},
	}},
	{name: "diversion that diverts another path", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/f", "a")}, members: map[string]string{
			"preinst": script("dpkg-divert --package a --add --rename --divert /opt/x/g.distrib /opt/x/g")}},
		{name: "b", files: []testFile{file("opt/x/f", "b")}},
	}, fails: []string{"packages b and a both have /opt/x/f, and a did not divert it"}},

	{name: "statoverride of a later package", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/a", "a")}, members: map[string]string{"preinst": script(
			"dpkg-statoverride --add root mail 2755 /opt/x/f", "dpkg-statoverride --add games games 0750 /opt/x/d", "dpkg-statoverride --add '#77' '#78' 0640 /opt/x/g")}},
		{name: "b", files: []testFile{file("opt/x/f", "b"), dir("opt/x/d"), file("opt/x/g", "b"), file("opt/x/h", "h")}},
	}},
	{name: "statoverride of its own file", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/f", "a"), file("opt/x/g", "a")}, members: map[string]string{
			"preinst":  script("dpkg-statoverride --add root mail 2755 /opt/x/f"),
			"postinst": script("dpkg-statoverride --update --add games mail 4710 /opt/x/g")}},
	}},
	{name: "statoverride of an installed package without update", debs: []testDeb{
		{name: "b", files: []testFile{file("opt/x/f", "b")}},
		{name: "a", files: []testFile{file("opt/a", "a")}, members: map[string]string{"postinst": script("dpkg-statoverride --add root mail 2755 /opt/x/f")}},
	}},

	{name: "alternatives", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/bin/a", "a").mode(0o755), file("opt/man/a", "man a")}, members: map[string]string{"postinst": script(
			"update-alternatives --install /opt/bin/tool tool /opt/bin/a 10 --slave /opt/man/tool tool.man /opt/man/a")}},
		{name: "b", files: []testFile{file("opt/bin/b", "b").mode(0o755), file("opt/man/b", "man b"), file("opt/man/extra", "e")}, members: map[string]string{"postinst": script(
			"update-alternatives --install /opt/bin/tool tool /opt/bin/b 50 --slave /opt/man/tool tool.man /opt/man/b --slave /opt/man/extra-tool extra /opt/man/extra")}},
		{name: "c", files: []testFile{file("opt/bin/c", "c").mode(0o755)}, members: map[string]string{"postinst": script(
			"update-alternatives --install /opt/bin/tool tool /opt/bin/c 20", "update-alternatives --install /opt/bin/other other /opt/bin/c -5")}},
	}, has: map[string]string{"etc/alternatives/tool": "/opt/bin/b", "opt/bin/tool": "/etc/alternatives/tool", "etc/alternatives/tool.man": "/opt/man/b", "etc/alternatives/extra": "/opt/man/extra", "etc/alternatives/other": "/opt/bin/c"}},
	{name: "alternatives, set by hand and missing", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/bin/a", "a"), file("opt/bin/b", "b")}, members: map[string]string{"postinst": script(
			"update-alternatives --install /opt/bin/tool tool /opt/bin/a 10", "update-alternatives --install /opt/bin/tool tool /opt/bin/b 5",
			"update-alternatives --set tool /opt/bin/b", "! update-alternatives --install /opt/bin/no no /opt/bin/absent 5")}},
	}, has: map[string]string{"etc/alternatives/tool": "/opt/bin/b"}},
	{name: "alternatives, slave of a later package", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/bin/a", "a")}, members: map[string]string{"postinst": script(
			"update-alternatives --install /opt/bin/tool tool /opt/bin/a 10 --slave /opt/man/tool tool.man /opt/man/a")}},
		{name: "b", files: []testFile{file("opt/man/a", "man")}},
	}, differs: []allowedDifference{
		{"etc/alternatives/tool.man", "extra", "all packages are unpacked before the first script runs", nil},
		{"opt/man/tool", "extra", "likewise", nil},
	}},

	{name: "capabilities", debs: []testDeb{{name: "a", files: []testFile{file("opt/a", "a").mode(0o755), file("opt/b", "b").mode(0o755)},
		members: map[string]string{"postinst": script("setcap cap_net_raw+ep /opt/a", "setcap cap_net_bind_service,cap_chown=+eip /opt/b")}}}},
	{name: "what scripts do to files", debs: []testDeb{{name: "a", files: []testFile{file("opt/a/1", "1"), file("opt/a/2", "2"), dir("opt/a/d"), hardLink("opt/a/3", "opt/a/2")},
		members: map[string]string{"postinst": script("chown games:mail /opt/a/1", "chmod 4711 /opt/a/1", "rm /opt/a/2", "mkfifo -m 600 /opt/a/fifo", "mknod /opt/a/null c 1 3",
			"chown man /opt/a/null", "ln -s x /opt/a/link", "chown -h man:man /opt/a/link", "ln /opt/a/1 /opt/a/hard", "rmdir /opt/a/d", "mv /opt/a/3 /opt/a/d", "mkdir -m 2770 /opt/a/s", "touch /opt/a/s/f", "touch -d @1400000000 /opt/a/old")}}}},
	{name: "conffile changed by postinst", debs: []testDeb{{name: "a", files: []testFile{file("etc/a.conf", "1")}, members: map[string]string{
		"conffiles": "/etc/a.conf\n", "postinst": script("echo 2 > /etc/a.conf")}}}},

	{name: "failing postinst", debs: []testDeb{{name: "a", members: map[string]string{"postinst": script("for n in $(seq 30); do echo line $n; done", "echo the cause >&2", "exit 42")}}},
		fails: []string{"run postinst of package a: ", "exit status 42", "\n    line 30\n    the cause"}},
	{name: "failing preinst", debs: []testDeb{{name: "a", members: map[string]string{"preinst": script("echo no >&2; false")}}},
		fails: []string{"run preinst of package a: ", "exit status 1", "\n    no"}},
	{name: "killed postinst", debs: []testDeb{{name: "a", members: map[string]string{"postinst": script("kill -KILL $$")}}},
		fails: []string{"run postinst of package a: ", "SIGKILL"}},
	{name: "script without an interpreter", debs: []testDeb{{name: "a", members: map[string]string{"postinst": "#!/no/such/interpreter\n"}}},
		fails: []string{"run postinst of package a: ", "no such file"}},
	{name: "script that is no program", debs: []testDeb{{name: "a", members: map[string]string{"postinst": "echo no interpreter line > /opt/said\n"}}},
		has: map[string]string{"opt/said": "no interpreter line\n"}},
	{name: "empty script", debs: []testDeb{{name: "a", files: []testFile{file("opt/a/f", "a")}, members: map[string]string{"postinst": "", "preinst": ""}}}},
	{name: "script that needs a terminal", debs: []testDeb{{name: "a", members: map[string]string{"postinst": script("read answer </dev/tty")}}},
		fails: []string{"run postinst of package a: ", "/dev/tty"}},
	{name: "script that asks", debs: []testDeb{{name: "a", members: map[string]string{"postinst": script("read answer")}}},
		fails: []string{"run postinst of package a: ", "exit status 1"}},
	{name: "script that needs the network", debs: []testDeb{{name: "a", members: map[string]string{"postinst": "#!/bin/bash\nexec 3<>/dev/tcp/192.0.2.1/80\n"}}},
		fails: []string{"run postinst of package a: ", "Network is unreachable"}},
	{name: "script that needs a file of the host", debs: []testDeb{{name: "a", members: map[string]string{"postinst": script("cat /etc/resolv.conf")}}},
		fails: []string{"run postinst of package a: ", "/etc/resolv.conf: No such file"}},
	{name: "script that leaves a process", debs: []testDeb{{name: "a", members: map[string]string{"postinst": script("(sleep 100; touch /opt/late) >/dev/null 2>&1 &", "touch /opt/early")}}}, has: map[string]string{"opt/early": ""}},
}
