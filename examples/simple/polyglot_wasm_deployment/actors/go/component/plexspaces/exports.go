// Package plexspaces is wit/plexspaces-actor by hand, as far as the greeter uses it: three exports, four imports.
//
// It speaks the component model's canonical ABI. An address in memory is 32 bits wide there, where Go's pointers have 64,
// so whatever stands behind an address is kept in a variable besides.
package plexspaces

import "unsafe"

// An Actor is what the world stateful-request-actor exports.
type Actor interface {
	// Init starts the actor with its last snapshot, else with what it was deployed with, else empty.
	Init(state []byte) error
	// HandleRequest answers one message. An error is told to the asker, and the actor lives on.
	HandleRequest(from, msgType string, payload []byte) ([]byte, error)
	// SnapshotState returns the state that a later Init gets back.
	SnapshotState() ([]byte, error)
}

var actor Actor

// Run says which actor this module is; to be called from an init function.
func Run(it Actor) { actor = it }

//go:wasmexport init
func exportInit(state address, stateLen uint32) address {
	return answer(nil, actor.Init(taken(state, stateLen)))
}

//go:wasmexport handle-request
func exportHandleRequest(from address, fromLen uint32, msgType address, msgTypeLen uint32, payload address, payloadLen uint32) address {
	return answer(actor.HandleRequest(
		string(taken(from, fromLen)), string(taken(msgType, msgTypeLen)), taken(payload, payloadLen)))
}

//go:wasmexport snapshot-state
func exportSnapshotState() address {
	return answer(actor.SnapshotState())
}

// An address is where something lies in the module's memory.
type address = uint32

func addressOf(bytes []byte) address {
	return address(uintptr(unsafe.Pointer(unsafe.SliceData(bytes))))
}

// The last answer, a result<payload, string>: the node has read it before it calls again.
var last struct {
	inMemory struct {
		isErr uint32
		value address
		len   uint32
	}
	kept []byte
}

func answer(ok []byte, err error) address {
	last.inMemory.isErr, last.kept = 0, ok
	if err != nil {
		last.inMemory.isErr, last.kept = 1, []byte(err.Error())
	}
	last.inMemory.value, last.inMemory.len = addressOf(last.kept), uint32(len(last.kept))
	return address(uintptr(unsafe.Pointer(&last.inMemory)))
}

// What the node has asked room for, until it is taken.
var given = map[address][]byte{}

//go:wasmexport cabi_realloc
func cabiRealloc(_, _, align, size uint32) address {
	room := make([]byte, size, size+16) // from 16 bytes on, Go aligns to 8, which is all that the ABI ever asks
	given[addressOf(room)] = room
	return addressOf(room)
}

// taken is what the node has put into memory, from here on the garbage collector's.
func taken(at address, size uint32) []byte {
	room := given[at]
	delete(given, at)
	return room[:size]
}
