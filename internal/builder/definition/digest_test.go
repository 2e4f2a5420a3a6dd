package definition

import (
	"reflect"
	"testing"

	"ashlar/internal/foundation/digest"
)

// The digest of a starter is part of every lock made from it. When this fails
// although no lock input was added, old locks would be refused for nothing.
const starterInputs = "0ff79544ab6b777a5844a5ea30be89fb618be89a50dcb696567f986b2b4f5024"

func TestInputDigestIsStable(t *testing.T) {
	if got := mustParse(t, string(Starter("web"))).InputDigest().String(); got != starterInputs {
		t.Errorf("the starter's inputs have the digest %s, want %s", got, starterInputs)
	}
}

// Another way to write the same inputs gives the same digest.
func TestInputDigestIgnoresForm(t *testing.T) {
	base := mustParse(t, minimal+"packages = [\"bb\", \"aa\"]\n").InputDigest()
	for name, text := range map[string]string{
		"comments, order": "# a\nbase = { suite = 'trixie' }\npackages = [\n  'aa', # first\n  'bb',\n]\nname = \"web\"\n",
		"defaults":        minimal + "packages = [\"aa\", \"bb\"]\narch = [\"amd64\"]\nrecommends = false\nessential = true\ninit = \"ashlar\"\nkernel.package = \"linux-image-cloud-amd64\"\nbase.components = [\"main\"]\npins = []\n",
		"another name":    "name = \"other\"\nbase.suite = \"trixie\"\npackages = [\"aa\", \"bb\"]\n",
		"other program":   minimal + "packages = [\"aa\", \"bb\"]\ninit = \"/bin/app\"\n",
		"not inputs":      minimal + "packages = [\"aa\", \"bb\"]\nhostname = \"h\"\nkernel.cmdline = \"quiet\"\n[disk]\nstate = \"1G\"\n[services.a]\nexec = [\"/bin/a\"]\n[[tests]]\ntcp = \":80\"\n[prune]\ndocs = false\n",
	} {
		if got := mustParse(t, text).InputDigest(); got != base {
			t.Errorf("%s: the digest differs", name)
		}
	}
}

// notInputs are the keys of a definition that do not choose what is locked. A
// new key belongs here or into inputs.
var notInputs = map[string]bool{
	"Name": true, "InitReaper": true, "Root": true, "Hostname": true, "Timezone": true, "Locale": true, "Files": true, "Users": true,
	"Groups": true, "Services": true, "State": true, "Network": true, "Sysctl": true, "Prune": true,
	"Image": true, "Disk": true, "Container": true, "Tests": true,
}

// Every other key changes the digest, down to each field of base, pins and archives.
func TestInputDigestCoversInputs(t *testing.T) {
	full := func() *Definition {
		return mustParse(t, minimal+"pins = [{ package = \"a\", version = \"1\" }]\nbase.extra = [{ name = \"x\", suite = \"y\" }]\n")
	}
	seen := map[digest.Digest]string{full().InputDigest(): "unchanged"}
	var vary func(path string, get func(*Definition) reflect.Value)
	vary = func(path string, get func(*Definition) reflect.Value) {
		def := full()
		v := get(def)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				name := v.Type().Field(i).Name
				if path == "" && notInputs[name] || path == ".Kernel" && name != "Package" {
					continue
				}
				vary(path+"."+name, func(d *Definition) reflect.Value { return get(d).Field(i) })
			}
			return
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Struct {
				vary(path, func(d *Definition) reflect.Value { return get(d).Index(0) })
				return
			}
			v.Set(reflect.ValueOf([]string{"changed"}))
		case reflect.String:
			v.SetString("changed")
			if path == ".Init" {
				v.SetString("systemd")
			}
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int:
			v.SetInt(v.Int() + 1)
		}
		got := def.InputDigest()
		if other, taken := seen[got]; taken {
			t.Errorf("%s does not change the digest (%s)", path, other)
		}
		seen[got] = path
	}
	vary("", func(d *Definition) reflect.Value { return reflect.ValueOf(d).Elem() })
	if len(seen) < 25 {
		t.Errorf("only %d fields were varied", len(seen))
	}
}
