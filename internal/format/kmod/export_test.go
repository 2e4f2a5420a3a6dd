package kmod

// OddModules are files of modules as no kernel of Debian's has them, by path.
func OddModules() map[string][]byte {
	return map[string][]byte{
		"kernel/a/base.ko": object{
			info: []string{"alias=char-major-10-200", "alias=devname:net/tun", "alias=devname:late", "alias=block-major-7-*"}, exports: []string{"base_one", "base-two"},
		}.bytes(),
		"kernel/z/last-first.ko": object{info: []string{
			"alias=x-y[a-c]-z", "alias=shut]", "alias=open[", "alias=same", "alias=same", "alias=with blank", "alias=",
			"softdep=pre: base post: chain1", "softdep=pre: none", "weakdep=base chain1",
		}, needs: []string{"base_one", "nobody_has_it"}}.bytes(),
		"kernel/m/chain1.ko":   object{info: []string{"alias=same", "bare"}, exports: []string{"c1"}, needs: []string{"base_one"}}.bytes(),
		"kernel/m/chain2.ko":   object{info: []string{"alias=devname:disk", "alias=block-major-8-1"}, exports: []string{"c2"}, needs: []string{"c1", "base-two"}}.bytes(),
		"kernel/m/chain3.ko":   object{info: []string{"alias=char-major-1-2-3", "alias=devname:three"}, strings: []string{"c3"}, needs: []string{"c2", ".c1"}}.bytes(),
		"kernel/other-base.ko": object{info: []string{"a=b"}, strings: []string{"base_one"}}.bytes(),
		"kernel/twice.ko":      object{info: []string{"alias=old-twice"}, exports: []string{"t"}}.bytes(),
		"updates/twice.ko":     object{info: []string{"alias=new-twice"}, exports: []string{"t"}, narrow: true}.bytes(),
		"kernel/user.ko":       object{info: []string{"license=GPL"}, needs: []string{"t", "base_one", "c3"}, versions: []string{"c2", "t"}, big: true, narrow: true}.bytes(),
	}
}
