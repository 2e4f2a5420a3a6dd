package rootfs

// noted gives a package that notes its calls; triggers are its interests.
func noted(name, triggers string) testDeb {
	return testDeb{name: name, files: []testFile{file("opt/"+name+"/f", name)}, members: map[string]string{
		"triggers": triggers, "postinst": script("echo " + name + " $1 $2 >> /opt/log"),
	}}
}

func (d testDeb) with(files ...testFile) testDeb {
	d.files = append(d.files, files...)
	return d
}

func (d testDeb) after(fields string) testDeb {
	d.fields += fields
	return d
}

// triggerCases are about triggers.
var triggerCases = []dpkgCase{
	{name: "file trigger", debs: []testDeb{noted("a", "interest /opt/hooks\n"), noted("b", "").with(file("opt/hooks/b", "b")), noted("c", "").with(file("opt/hooks-not/c", "c"))},
		has: map[string]string{"opt/log": "a configure\nb configure\nc configure\na triggered /opt/hooks\n"}},
	{name: "file trigger on a file", debs: []testDeb{noted("a", "interest-noawait /opt/hooks/b\n"), noted("b", "").with(file("opt/hooks/b", "b")), noted("c", "").with(file("opt/hooks/c", "c"))},
		has: map[string]string{"opt/log": "a configure\nb configure\nc configure\na triggered /opt/hooks/b\n"}},
	{name: "file trigger through its own and earlier files", debs: []testDeb{noted("b", "").with(file("opt/hooks/b", "b")), noted("a", "interest-await /opt/hooks\n").with(file("opt/hooks/a", "a"))},
		has: map[string]string{"opt/log": "b configure\na configure\n"}},
	{name: "named trigger from dpkg-trigger", debs: []testDeb{noted("a", "interest hook\n"),
		{name: "b", members: map[string]string{"postinst": script("dpkg-trigger hook", "dpkg-trigger nobody-wants", "dpkg-trigger --no-await hook", "echo b >> /opt/log")}}},
		has: map[string]string{"opt/log": "a configure\nb\na triggered hook\n"}},
	{name: "named trigger before the interested is there", debs: []testDeb{
		{name: "b", members: map[string]string{"postinst": script("dpkg-trigger hook", "echo b >> /opt/log")}}, noted("a", "interest hook\n")},
		has: map[string]string{"opt/log": "b\na configure\n"}},
	{name: "trigger from preinst", debs: []testDeb{noted("a", "interest hook\n"),
		{name: "b", members: map[string]string{"preinst": script("dpkg-trigger hook", "echo b >> /opt/log")}}},
		has: map[string]string{"opt/log": "a configure\nb\na triggered hook\n"}},
	{name: "activate", debs: []testDeb{noted("a", "interest hook\ninterest-noawait other\n"), noted("b", "activate hook\n"), noted("c", "activate-noawait other\nactivate-await nobody\n# comment\n")}},
	{name: "activate before the interested is there", debs: []testDeb{noted("b", "activate hook\n"), noted("a", "interest hook\n")},
		has: map[string]string{"opt/log": "b configure\na configure\n"}},
	{name: "activate by path", debs: []testDeb{noted("a", "interest /opt/hooks\n"), noted("b", "activate /opt/hooks\n"), noted("c", "activate /opt/hooks/below\n")}},
	{name: "several interested", debs: []testDeb{noted("a", "interest /opt/hooks\n"), noted("m", "interest-noawait /opt/hooks\n"), noted("z", "interest-noawait /opt/hooks\n"), noted("b", "").with(file("opt/hooks/b", "b"))}},
	{name: "trigger that activates another", debs: []testDeb{noted("a", "interest second\n"),
		{name: "b", members: map[string]string{"triggers": "interest first\n", "postinst": script("echo b $1 $2 >> /opt/log", "[ $1 = configure ] || dpkg-trigger second")}},
		noted("c", "activate first\n")},
		has: map[string]string{"opt/log": "a configure\nb configure\nc configure\nb triggered first\na triggered second\n"}},
	{name: "triggers of one that has no postinst", debs: []testDeb{{name: "a", members: map[string]string{"triggers": "interest hook\n"}}, noted("b", "activate hook\n")}},
	{name: "trigger by a diverted file", debs: []testDeb{noted("a", "interest /opt/hooks\n"),
		{name: "d", members: map[string]string{"preinst": script("mkdir -p /opt/aside", "dpkg-divert --package d --add --rename --divert /opt/aside/b /opt/hooks/b")}},
		noted("b", "").with(file("opt/hooks/b", "b"))}},
	{name: "own trigger", debs: []testDeb{{name: "a", members: map[string]string{"triggers": "interest hook\n", "postinst": script("echo a $1 $2 >> /opt/log", "[ $1 = triggered ] || dpkg-trigger hook")}}}},
	{name: "dependency that awaits a trigger", debs: []testDeb{noted("a", "interest hook\n"), noted("x", "activate hook\n"),
		noted("b", "").after("Depends: x\n"), noted("c", "")}},
	{name: "dependency that does not await a trigger", debs: []testDeb{noted("a", "interest-noawait hook\n"), noted("x", "activate hook\n"),
		noted("b", "").after("Depends: x\n")}},
	{name: "virtual dependency that awaits", debs: []testDeb{noted("a", "interest hook\n"),
		{name: "x", fields: "Provides: virtual\n", members: map[string]string{"postinst": script("dpkg-trigger hook", "echo x >> /opt/log")}},
		noted("b", "").after("Depends: absent | virtual\n"), noted("c", "")},
		has: map[string]string{"opt/log": "a configure\nx\na triggered hook\nb configure\nc configure\n"}},
	{name: "another alternative is ready", debs: []testDeb{noted("a", "interest hook\n"), noted("x", "activate hook\n"),
		noted("b", "").after("Depends: x | a\n")},
		has: map[string]string{"opt/log": "a configure\nx configure\nb configure\na triggered hook\n"}},
	{name: "dependency whose trigger awaits in turn", debs: []testDeb{noted("a", "interest second\n"),
		{name: "m", members: map[string]string{"triggers": "interest first\n", "postinst": script("echo m $1 $2 >> /opt/log", "[ $1 = configure ] || dpkg-trigger second")}},
		noted("x", "activate first\n"), noted("b", "").after("Depends: x, m\n")}},
	{name: "dependency whose triggers are pending", debs: []testDeb{noted("a", "interest hook\n"), noted("x", "activate hook\n"),
		noted("b", "").after("Depends: a\n"), noted("c", "")}},
	{name: "cycle of triggers", debs: []testDeb{
		{name: "a", members: map[string]string{"triggers": "interest first\n", "postinst": script("dpkg-trigger second")}},
		{name: "b", members: map[string]string{"triggers": "interest second\n", "postinst": script("dpkg-trigger first")}}},
		fails: []string{"packages still activate each other's after 5 rounds: b (second)"}},
	{name: "failing trigger", debs: []testDeb{
		{name: "a", members: map[string]string{"triggers": "interest hook\n", "postinst": script("[ $1 = configure ] || { echo broken hook; exit 7; }")}}, noted("b", "activate hook\n")},
		fails: []string{"run postinst of package a: ", "exit status 7", "broken hook"}},
}
