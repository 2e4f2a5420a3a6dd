package rootfs

import (
	"archive/tar"
	"strings"
)

func special(name string, kind byte, major, minor int64) testFile {
	return testFile{tar.Header{Typeflag: kind, Name: name, Mode: 0o640, Devmajor: major, Devminor: minor}, ""}
}

var (
	longDir  = "opt/a/" + strings.Repeat("d", 120)
	longName = longDir + "/" + strings.Repeat("n", 200)
)

// fileCases are about who owns a path and what stands there.
var fileCases = []dpkgCase{
	{name: "kinds and modes", debs: []testDeb{{name: "a", files: []testFile{
		file("opt/a/f", "a"), symlink("opt/a/l", "f"), symlink("opt/a/dangling", "/no/where"), dir("opt/a/closed").mode(0o700),
		dir("opt/a/sticky").mode(0o1777), dir("opt/a/setgid").mode(0o2775).owned(0, 8, "root", "mail"),
		file("opt/a/setuid", "x").mode(0o4755), file("opt/a/setgid/f", "x").mode(0o2755).owned(0, 8, "root", "mail"),
		file("opt/a/none", "").mode(0), file("opt/a/odd", "x").mode(0o6111).owned(12345, 54321, "", ""),
		special("opt/a/fifo", tar.TypeFifo, 0, 0), special("opt/a/null", tar.TypeChar, 1, 3), special("opt/a/disk", tar.TypeBlock, 7, 200),
		file("opt/a/sparse", strings.Repeat("\x00", 100_000)+"end"), file("opt/a/name with blanks", "x"), file("opt/a/ä", "x"),
	}}}},
	{name: "long names", debs: []testDeb{{name: "a", files: []testFile{
		file(longName, "long"), symlink(longDir+"/link", "/"+longName), hardLink(longDir+"/hard", longName),
	}}}, has: map[string]string{longName: "long"}},
	{name: "hard links", debs: []testDeb{{name: "a", files: []testFile{
		file("opt/a/1", "one").mode(0o755), hardLink("opt/a/2", "opt/a/1").mode(0o755), hardLink("opt/b/3", "opt/a/2").mode(0o755), file("opt/a/other", "one").mode(0o755),
	}}}, has: map[string]string{"opt/b/3": "one"}},
	{name: "hard link replaced", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/a/1", "one"), hardLink("opt/a/2", "opt/a/1"), hardLink("opt/a/3", "opt/a/1")}},
		{name: "b", fields: "Replaces: a\n", files: []testFile{file("opt/a/1", "new")}},
	}, has: map[string]string{"opt/a/1": "new", "opt/a/2": "one", "opt/a/3": "one"}},
	{name: "owner by name", debs: []testDeb{{name: "a", files: []testFile{
		file("opt/a/f", "a").owned(4711, 4712, "games", "mail"), file("opt/a/s", "a").owned(1, 1, "root", "shadow").mode(0o2755),
		file("opt/a/builder", "a").owned(1000, 1000, "root", "root"), file("opt/a/numbers", "a").owned(1000, 1000, "", ""),
		file("opt/a/unknown", "a").owned(77, 78, "nobody-knows", "nobody-knows"), dir("opt/a/d").owned(1, 1, "man", "man").mode(0o2755),
	}}}},
	{name: "owner made by preinst", debs: []testDeb{{name: "a", files: []testFile{
		file("opt/a/f", "a").owned(4711, 4712, "fresh", "fresh").mode(0o4750), symlink("opt/a/l", "f").owned(4711, 4711, "fresh", "fresh"),
	}, members: map[string]string{"preinst": script("echo fresh:x:321: >> /etc/group", "echo fresh:x:123:321::/:/bin/false >> /etc/passwd")}}}},

	{name: "replaces, later wins", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/f", "a"), file("opt/x/a", "a")}},
		{name: "b", fields: "Replaces: a (<< 2)\n", files: []testFile{file("opt/x/f", "b")}},
	}, has: map[string]string{"opt/x/f": "b"}},
	{name: "replaces, earlier wins", debs: []testDeb{
		{name: "b", fields: "Replaces: a\n", files: []testFile{file("opt/x/f", "b")}},
		{name: "a", files: []testFile{file("opt/x/f", "a"), file("opt/x/a", "a")}},
	}, has: map[string]string{"opt/x/f": "b"}},
	{name: "replaces and breaks", debs: []testDeb{
		{name: "a", version: "2", files: []testFile{file("opt/x/f", "a"), file("opt/x/a", "a")}},
		{name: "b", fields: "Replaces: zzz, a (<= 2)\nBreaks: a (<< 2)\nConflicts: zzz\n", files: []testFile{symlink("opt/x/f", "a")}},
	}, has: map[string]string{"opt/x/f": "a"}},
	{name: "replaces, all but the directory", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/f", "a"), dir("opt/y")}},
		{name: "b", fields: "Replaces: a\n", files: []testFile{file("opt/x/f", "b")}},
	}, has: map[string]string{"opt/x/f": "b"}},
	{name: "replaces, everything", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/f", "a")}},
		{name: "b", fields: "Replaces: a\n", files: []testFile{file("opt/x/f", "b")}},
	}, has: map[string]string{"opt/x/f": "b"}, differs: []allowedDifference{
		{"var/lib/dpkg/status", "content", "a package without a file left disappears; here it stays, as the lock has it", nil},
		{"var/lib/dpkg/info/a.*", "extra", "likewise", nil},
	}},
	{name: "replaces a conffile", debs: []testDeb{
		{name: "a", files: []testFile{file("etc/x.conf", "a"), file("etc/a.conf", "a")}, members: map[string]string{"conffiles": "/etc/a.conf\n/etc/x.conf\n"}},
		{name: "b", fields: "Replaces: a\n", files: []testFile{file("etc/x.conf", "b")}, members: map[string]string{"conffiles": "/etc/x.conf\n"}},
	}},
	{name: "conffile replaced before", debs: []testDeb{
		{name: "b", fields: "Replaces: a\n", files: []testFile{file("etc/x.conf", "b")}, members: map[string]string{"conffiles": "/etc/x.conf\n"}},
		{name: "a", files: []testFile{file("etc/x.conf", "a"), file("etc/a.conf", "a")}, members: map[string]string{"conffiles": "/etc/a.conf\n/etc/x.conf\n"}},
	}, has: map[string]string{"etc/x.conf": "b"}},
	{name: "replaces, versioned and not met", debs: []testDeb{
		{name: "a", version: "3", files: []testFile{file("opt/x/f", "a")}},
		{name: "b", fields: "Replaces: a (<< 2)\n", files: []testFile{file("opt/x/f", "b")}},
	}, fails: []string{"packages a and b both have /opt/x/f"}},
	{name: "overwrite without replaces", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/f", "a")}},
		{name: "b", files: []testFile{file("opt/x/f", "b")}},
	}, fails: []string{"packages a and b both have /opt/x/f"}},
	{name: "overwrite with the same content", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/f", "a")}},
		{name: "b", files: []testFile{file("opt/x/f", "a")}},
	}, fails: []string{"packages a and b both have /opt/x/f"}},
	{name: "replaces only through a virtual name", debs: []testDeb{
		{name: "a", fields: "Provides: virtual\n", files: []testFile{file("opt/x/f", "a")}},
		{name: "b", fields: "Replaces: virtual\n", files: []testFile{file("opt/x/f", "b")}},
	}, fails: []string{"packages a and b both have /opt/x/f"}},

	{name: "shared directory keeps its first mode", debs: []testDeb{
		{name: "a", files: []testFile{dir("opt/x").mode(0o750), file("opt/x/a", "a")}},
		{name: "b", files: []testFile{dir("opt/x").mode(0o2775).owned(0, 8, "root", "mail"), file("opt/x/b", "b")}},
	}},
	{name: "directory and then a link to one", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/d/a", "a")}},
		{name: "b", files: []testFile{dir("opt/x/e"), symlink("opt/x/d", "e")}},
	}},
	{name: "link to a directory and then a directory", debs: []testDeb{
		{name: "a", files: []testFile{dir("opt/x/e"), symlink("opt/x/d", "e")}},
		{name: "b", files: []testFile{file("opt/x/d/b", "b")}},
	}, has: map[string]string{"opt/x/e/b": "b"}},
	{name: "the same link to a directory", debs: []testDeb{
		{name: "a", files: []testFile{dir("opt/x/e"), symlink("opt/x/d", "e")}},
		{name: "b", files: []testFile{symlink("opt/x/d", "e")}},
	}},
	{name: "another link to the same directory", debs: []testDeb{
		{name: "a", files: []testFile{dir("opt/x/e"), symlink("opt/x/d", "e")}},
		{name: "b", files: []testFile{symlink("opt/x/d", "../x/e")}},
	}, has: map[string]string{"opt/x/d": "e"}},
	{name: "a link to another directory", debs: []testDeb{
		{name: "a", files: []testFile{dir("opt/x/e"), symlink("opt/x/d", "e")}},
		{name: "b", files: []testFile{dir("opt/x/g"), symlink("opt/x/d", "g")}},
	}, fails: []string{"packages a and b both have /opt/x/d"}},
	{name: "the same dangling link", debs: []testDeb{
		{name: "a", files: []testFile{symlink("opt/x/d", "e")}},
		{name: "b", files: []testFile{symlink("opt/x/d", "e")}},
	}, fails: []string{"packages a and b both have /opt/x/d"}},
	{name: "file and then a directory", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/d", "a")}},
		{name: "b", files: []testFile{file("opt/x/d/b", "b")}},
	}, fails: []string{"packages a and b both have /opt/x/d"}},
	{name: "file replaced by a directory", debs: []testDeb{
		{name: "a", files: []testFile{file("opt/x/d", "a"), file("opt/x/a", "a")}},
		{name: "b", fields: "Replaces: a\n", files: []testFile{file("opt/x/d/b", "b")}},
	}, has: map[string]string{"opt/x/d/b": "b"}},
	{name: "directory replaced by a file", debs: []testDeb{
		{name: "a", files: []testFile{dir("opt/x/d"), file("opt/x/a", "a")}},
		{name: "b", fields: "Replaces: a\n", files: []testFile{file("opt/x/d", "b")}},
	}, has: map[string]string{"opt/x/d": "b"}},
	{name: "dangling link and then a directory", debs: []testDeb{
		{name: "a", files: []testFile{symlink("opt/x/d", "e")}},
		{name: "b", files: []testFile{file("opt/x/d/b", "b")}},
	}, fails: []string{"packages a and b both have /opt/x/d"}},

	{name: "merged usr", debs: []testDeb{
		{name: "a", files: []testFile{file("lib/x/a", "a"), file("bin/prog-a", "a").mode(0o755)}},
		{name: "b", files: []testFile{file("usr/lib/x/b", "b"), file("usr/bin/prog-b", "b").mode(0o755)}},
	}, has: map[string]string{"usr/lib/x/a": "a", "usr/lib/x/b": "b"}},
	{name: "merged usr, one file by two names", debs: []testDeb{
		{name: "a", files: []testFile{file("lib/x/f", "a")}},
		{name: "b", files: []testFile{file("usr/lib/x/f", "b")}},
	}, fails: []string{"packages a and b both have /usr/lib/x/f"}, dpkgWorks: "dpkg does not see that the names are one, and loses a's file"},
	{name: "merged usr, equal files by two names", debs: []testDeb{
		{name: "a", files: []testFile{file("lib/x/f", "same")}},
		{name: "b", files: []testFile{file("usr/lib/x/f", "same")}},
	}, has: map[string]string{"usr/lib/x/f": "same"}},
	{name: "merged usr, replaced by the other name", debs: []testDeb{
		{name: "a", files: []testFile{file("lib/x/f", "a"), file("lib/x/g", "a")}},
		{name: "b", fields: "Replaces: a\n", files: []testFile{file("usr/lib/x/f", "b")}},
	}, has: map[string]string{"usr/lib/x/f": "b"}},

	{name: "multi-arch same", debs: []testDeb{
		{name: "libx", arch: arch, fields: "Multi-Arch: same\n", files: []testFile{file("usr/lib/x/libx.so", "x"), file("usr/share/doc/libx/copyright", "c")},
			members: map[string]string{"postinst": script("echo $DPKG_MAINTSCRIPT_ARCH $DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT > /opt/said", "dpkg-query -S /usr/lib/x/libx.so > /opt/owner")}},
		{name: "x", files: []testFile{file("usr/share/doc/x", "x")}, fields: "Depends: libx\nMulti-Arch: foreign\n"},
	}, has: map[string]string{"opt/said": "amd64 1\n", "opt/owner": "libx:amd64: /usr/lib/x/libx.so\n"}},

	{name: "multi-arch same, two architectures", foreign: "i386", debs: []testDeb{
		{name: "libx", arch: arch, fields: "Multi-Arch: same\n", files: []testFile{file("usr/lib/a/libx.so", "a"), file("usr/share/doc/libx/copyright", "c"), file("etc/libx.conf", "c")},
			members: map[string]string{"conffiles": "/etc/libx.conf\n"}},
		{name: "libx", arch: "i386", fields: "Multi-Arch: same\n", files: []testFile{file("usr/lib/i/libx.so", "i"), file("usr/share/doc/libx/copyright", "c"), file("etc/libx.conf", "c")},
			members: map[string]string{"conffiles": "/etc/libx.conf\n"}},
	}, differs: []allowedDifference{{"var/lib/dpkg/arch", "content", "a lock holds one architecture", nil}}},
	{name: "multi-arch same with other contents", foreign: "i386", debs: []testDeb{
		{name: "libx", arch: arch, fields: "Multi-Arch: same\n", files: []testFile{file("usr/share/doc/libx/copyright", "c")}},
		{name: "libx", arch: "i386", fields: "Multi-Arch: same\n", files: []testFile{file("usr/share/doc/libx/copyright", "d")}},
	}, fails: []string{"/usr/share/doc/libx/copyright"}},

	{name: "conffiles", debs: []testDeb{{name: "a", files: []testFile{file("etc/a/1.conf", "1"), file("etc/a/2 3.conf", ""), file("etc/a/none", "x"), symlink("etc/a/l.conf", "1.conf")},
		members: map[string]string{"conffiles": "/etc/a/1.conf\n/etc/a/2 3.conf\n/etc/a/l.conf\n/etc/a/absent.conf\n"}}}},
	{name: "conffile removed on upgrade", debs: []testDeb{{name: "a", files: []testFile{file("etc/a/1.conf", "1")},
		members: map[string]string{"conffiles": "/etc/a/1.conf\nremove-on-upgrade /etc/a/old.conf\n"}}}},
	{name: "conffile that is a hard link", debs: []testDeb{{name: "a", files: []testFile{file("etc/a/1.conf", "1"), hardLink("etc/a/2.conf", "etc/a/1.conf")},
		members: map[string]string{"conffiles": "/etc/a/2.conf\n"}}}},
	{name: "md5sums of the package", debs: []testDeb{{name: "a", files: []testFile{file("opt/a/f", "a")},
		members: map[string]string{"md5sums": "0cc175b9c0f1b6a831c399e269772661  opt/a/f\n"}}}},
	{name: "database", debs: []testDeb{{name: "a", version: "2:1.0~rc1+b2-3", arch: arch,
		fields:  "X-Odd:   field\nDepends: libc6,\n  dpkg\nSection: misc\nBuilt-Using: y (= 1)\nEnhances: z\nPriority: optional\nHomepage: http://x\nTag: t\nBugs: mailto:x\nOrigin: o\nSource: s (1)\nTask: q\nImportant: yes\n",
		files:   []testFile{file("opt/a/f", "a")},
		members: map[string]string{"shlibs": "liba 1 a\n", "symbols": "x\n", "templates": "Template: a/b\nType: string\nDescription: d\n", "prerm": script("exit 1"), "postrm": script("exit 1"), "config": script(":")}}}},
}
