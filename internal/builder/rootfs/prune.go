package rootfs

import (
	"fmt"
	"path"
	"strings"

	"ashlar/internal/builder/definition"
	"ashlar/internal/foundation/glob"
	"ashlar/internal/foundation/tree"
)

// pruneRule leaves paths out of the image unless its setting keeps them.
type pruneRule struct {
	enabled func(definition.Prune) bool
	remove  []string // patterns
	except  []string // patterns that stay all the same
}

var pruneRules = []pruneRule{
	{
		enabled: func(p definition.Prune) bool { return p.Docs },
		remove: []string{
			"usr/share/doc/**", "usr/share/doc-base/**", "usr/share/lintian/**", "usr/share/bug/**", "usr/share/gtk-doc/**",
			"usr/share/bash-completion/**", "usr/share/zsh/**", "usr/share/fish/**", "usr/share/menu/**", "usr/share/pixmaps/**",
			"usr/share/applications/**", "usr/share/metainfo/**", "etc/update-motd.d/**",
		},
		except: []string{"usr/share/doc", "usr/share/doc/*", "usr/share/doc/*/copyright"},
	},
	{
		enabled: func(p definition.Prune) bool { return p.Copyright },
		remove:  []string{"usr/share/doc/*/copyright", "usr/share/common-licenses/**"},
	},
	{
		enabled: func(p definition.Prune) bool { return p.Docs && p.Copyright },
		remove:  []string{"usr/share/doc/**"},
	},
	{
		enabled: func(p definition.Prune) bool { return p.Man },
		remove:  []string{"usr/share/man/**", "usr/share/info/**", "usr/local/share/man/**", "usr/local/man"},
	},
	{
		enabled: func(p definition.Prune) bool { return p.Locales },
		remove:  []string{"usr/share/locale/**", "usr/share/i18n/**", "usr/share/nls/**", "usr/lib/*/gconv/**", "usr/lib/*/perl-base/unicore/**"},
		// The iconv modules that mail, web and database servers meet.
		except: []string{
			"usr/share/locale", "usr/share/locale/locale.alias", "usr/lib/*/gconv",
			"usr/lib/*/gconv/gconv-modules*", "usr/lib/*/gconv/gconv-modules.d/**", "usr/lib/*/gconv/UTF-*.so", "usr/lib/*/gconv/UNICODE.so",
			"usr/lib/*/gconv/ISO8859-1.so", "usr/lib/*/gconv/ISO8859-15.so", "usr/lib/*/gconv/CP1252.so",
		},
	},
	{
		enabled: func(p definition.Prune) bool { return p.PackageManager },
		remove: []string{
			"var/lib/dpkg/**", "var/lib/apt/**", "var/cache/apt/**", "var/cache/debconf/**", "var/lib/ucf/**", "var/lib/pam/**",
			"etc/apt/**", "etc/dpkg/**", "etc/debconf.conf", "etc/ucf.conf", "etc/cron.daily/dpkg", "etc/logrotate.d/dpkg", "etc/logrotate.d/apt",
			"etc/logrotate.d/alternatives", "usr/share/debconf/**", "usr/share/dpkg/**", "usr/share/pam-configs/**", "usr/share/base-passwd/**",
			"var/lib/systemd/deb-systemd-helper-*/**", "var/lib/systemd/deb-systemd-user-helper-*/**", "usr/share/debianutils/**",
		},
	},
}

// managerPackages are left out with the package manager: they only serve to
// install others. perl-base goes when no package that stays depends on perl.
var managerPackages = map[string]bool{
	"dpkg": true, "apt": true, "debconf": true, "debconf-i18n": true, "cdebconf": true, "ucf": true, "adduser": true,
	"init-system-helpers": true, "debian-archive-keyring": true, "ubuntu-keyring": true, "gpgv": true, "apt-utils": true,
	"liblocale-gettext-perl": true, "libtext-charwidth-perl": true, "libtext-iconv-perl": true, "libtext-wrapi18n-perl": true,
}

// prune removes what the definition leaves out.
func prune(t *tree.Tree, def *definition.Definition, packages []*pkg) error {
	keep, err := compileAll(def.Prune.Keep)
	if err != nil {
		return fmt.Errorf("prune.keep: %w", err)
	}
	rules := pruneRules
	if len(def.Prune.Paths) > 0 {
		rules = append(rules[:len(rules):len(rules)], pruneRule{
			enabled: func(definition.Prune) bool { return true },
			remove:  def.Prune.Paths,
		})
	}
	for _, rule := range rules {
		if !rule.enabled(def.Prune) {
			continue
		}
		except := append([]string{}, rule.except...)
		if lang, _, _ := strings.Cut(def.Locale, "."); lang != "C" {
			short, _, _ := strings.Cut(lang, "_")
			except = append(except, "usr/share/locale/"+lang+"/**", "usr/share/locale/"+short+"/**")
		}
		if err := removeMatching(t, rule.remove, except, keep); err != nil {
			return fmt.Errorf("prune: %w", err)
		}
	}
	if def.Prune.PackageManager {
		pruneManager(t, packages, keep)
	}
	return nil
}

func compileAll(patterns []string) ([]glob.Pattern, error) {
	var list []glob.Pattern
	for _, p := range patterns {
		c, err := glob.Compile(p)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func anyMatch(patterns []glob.Pattern, name string) bool {
	for _, p := range patterns {
		if p.Match(name) {
			return true
		}
	}
	return false
}

// removeMatching removes what matches remove and not except or keep; a
// directory that still holds something stays.
func removeMatching(t *tree.Tree, remove, except []string, keep []glob.Pattern) error {
	gone, err := compileAll(remove)
	if err != nil {
		return err
	}
	stay, err := compileAll(except)
	if err != nil {
		return err
	}
	removePaths(t, func(name string) bool {
		return anyMatch(gone, name) && !anyMatch(stay, name) && !anyMatch(keep, name)
	})
	return nil
}

// removePaths removes the paths that gone names, deepest first; directories
// only once they are empty.
func removePaths(t *tree.Tree, gone func(string) bool) {
	paths := append([]string(nil), t.Paths()...)
	children := map[string]int{}
	for _, p := range paths {
		if p != "." {
			children[path.Dir(p)]++
		}
	}
	for i := len(paths) - 1; i >= 0; i-- {
		p := paths[i]
		if p == "." || children[p] > 0 || !gone(p) {
			continue
		}
		t.Remove(p)
		children[path.Dir(p)]--
	}
}

// pruneManager removes the files of the packages that only install others.
func pruneManager(t *tree.Tree, packages []*pkg, keep []glob.Pattern) {
	perlStays := false
	for _, p := range packages {
		if !managerPackages[p.name] && !strings.HasPrefix(p.name, "perl") && needsPerl(p) {
			perlStays = true
		}
	}
	owners := map[string]int{}
	doomed := map[string]bool{}
	for _, p := range packages {
		leaves := managerPackages[p.name] || p.name == "perl-base" && !perlStays
		for _, name := range p.paths {
			resolved, err := t.Resolve(strings.TrimPrefix(name, "/"))
			if err != nil {
				continue
			}
			owners[resolved]++
			if leaves {
				owners[resolved]--
				doomed[resolved] = true
			}
		}
	}
	removePaths(t, func(name string) bool {
		return doomed[name] && owners[name] == 0 && !anyMatch(keep, name)
	})
	if !perlStays {
		removePaths(t, func(name string) bool {
			return (strings.HasPrefix(name, "usr/share/perl5") || strings.HasPrefix(name, "usr/share/perl/")) && !anyMatch(keep, name)
		})
	}
	removeDangling(t, "etc/alternatives")
}

// removeDangling removes the links in dir whose targets are pruned, and the
// links to those.
func removeDangling(t *tree.Tree, dir string) {
	before := t.Clone()
	dangling := map[string]bool{}
	for _, name := range before.Paths() {
		e := before.Get(name)
		if path.Dir(name) == dir && e.Kind == tree.Symlink && before.Lookup(name) == nil {
			dangling["/"+name] = true
			t.Remove(name)
		}
	}
	for _, name := range before.Paths() {
		if e := before.Get(name); e.Kind == tree.Symlink && dangling[e.Target] {
			t.Remove(name)
		}
	}
}

// needsPerl reports whether p cannot do without a Perl interpreter.
func needsPerl(p *pkg) bool {
	for _, field := range []string{"Depends", "Pre-Depends"} {
		for _, clause := range strings.Split(p.unpacked.Control.Get(field), ",") {
			first, _, _ := strings.Cut(clause, "|")
			name, _, _ := strings.Cut(strings.TrimSpace(first), " ")
			name, _, _ = strings.Cut(name, ":")
			if name == "perl" || name == "perl-base" || strings.HasSuffix(name, "-perl") || strings.HasPrefix(name, "libperl") {
				return true
			}
		}
	}
	return false
}
