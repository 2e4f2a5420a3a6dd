// Package sandbox runs programs of the image being built, apart from the host:
// in user, mount, pid, network, uts and ipc namespaces, over an overlay whose
// upper layer afterwards tells what changed.
//
// One uid is mapped, the caller's to root, whoever the caller is: so root, a
// user with and a user without subordinate ids get the same result. Owners
// that programs set are recorded by a seccomp supervisor, not by the host's
// file system (see Owners).
package sandbox
