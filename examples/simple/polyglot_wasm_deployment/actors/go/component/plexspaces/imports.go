package plexspaces

import (
	"errors"
	"structs"
	"unsafe"
)

//go:wasmimport plexspaces:actor/messaging@0.1.0 tell
func wasmTell(to *byte, toLen uint32, msgType *byte, msgTypeLen uint32, payload *byte, payloadLen uint32, out *outcome)

//go:wasmimport plexspaces:actor/messaging@0.1.0 ask
func wasmAsk(to *byte, toLen uint32, msgType *byte, msgTypeLen uint32, payload *byte, payloadLen uint32, timeoutMs uint64, out *outcome)

//go:wasmimport plexspaces:actor/tuplespace@0.1.0 write
func wasmWrite(tenant *byte, tenantLen uint32, namespace *byte, namespaceLen uint32, tuple *field, tupleLen uint32, out *outcome)

//go:wasmimport plexspaces:actor/tuplespace@0.1.0 take
func wasmTake(tenant *byte, tenantLen uint32, namespace *byte, namespaceLen uint32, pattern *template, patternLen uint32, out *outcome)

// Tell sends a message, waits for nothing, and returns the message's id.
func Tell(to, msgType string, payload []byte) (string, error) {
	var out outcome
	wasmTell(unsafe.StringData(to), uint32(len(to)), unsafe.StringData(msgType), uint32(len(msgType)),
		unsafe.SliceData(payload), uint32(len(payload)), &out)
	id, err := out.bytes()
	return string(id), err
}

// Ask sends a message and waits for the reply; 0 is the node's own limit.
func Ask(to, msgType string, payload []byte, timeoutMs uint64) ([]byte, error) {
	var out outcome
	wasmAsk(unsafe.StringData(to), uint32(len(to)), unsafe.StringData(msgType), uint32(len(msgType)),
		unsafe.SliceData(payload), uint32(len(payload)), timeoutMs, &out)
	return out.bytes()
}

// Any matches any field of a tuple.
const Any = "\x00any"

// Write adds a tuple of strings to the application's own tuple space.
func Write(fields ...string) error {
	lent = fields
	tuple := make([]field, len(fields))
	for i, text := range fields {
		tuple[i] = stringField(text)
	}
	var out outcome
	wasmWrite(nil, 0, nil, 0, unsafe.SliceData(tuple), uint32(len(tuple)), &out)
	return out.err()
}

// Take removes a tuple of strings that has these fields, where Any stands for any; nil if there is none now.
func Take(fields ...string) ([]string, error) {
	lent = fields
	pattern := make([]template, len(fields))
	for i, text := range fields {
		pattern[i] = template{kind: templateExact, exact: stringField(text)}
		if text == Any {
			pattern[i] = template{kind: templateAny}
		}
	}
	var out outcome
	wasmTake(nil, 0, nil, 0, unsafe.SliceData(pattern), uint32(len(pattern)), &out)
	return out.tuple()
}

// lent keeps alive what tuples and patterns hold addresses of.
var lent []string

// A field is a tuple-field in memory; of its variants, only strings are used here.
type field struct {
	_     structs.HostLayout
	kind  uint32
	_     uint32
	value address
	len   uint32
}

const fieldString = 0

func stringField(text string) field {
	at := uintptr(unsafe.Pointer(unsafe.StringData(text)))
	return field{kind: fieldString, value: address(at), len: uint32(len(text))}
}

// A template is a pattern-field in memory.
type template struct {
	_     structs.HostLayout
	kind  uint32
	_     uint32
	exact field
}

const (
	templateExact = 0
	templateAny   = 1
)

// An outcome is what an import leaves in memory: a result with an actor-error on its other side.
type outcome struct {
	_     structs.HostLayout
	isErr uint32
	// An error's code and message, an option's presence and list, or a string and its length.
	words [3]uint32
	// The error's details.
	_ [3]uint32
}

// bytes reads a result<string or list<u8>, actor-error>.
func (o *outcome) bytes() ([]byte, error) {
	if err := o.err(); err != nil {
		return nil, err
	}
	return taken(o.words[0], o.words[1]), nil
}

// tuple reads a result<option<tuple-data>, actor-error>.
func (o *outcome) tuple() ([]string, error) {
	if err := o.err(); err != nil || o.words[0] == 0 {
		return nil, err
	}
	count := o.words[2]
	bytes := taken(o.words[1], count*uint32(unsafe.Sizeof(field{})))
	texts := make([]string, count)
	for i, field := range unsafe.Slice((*field)(unsafe.Pointer(unsafe.SliceData(bytes))), count) {
		if field.kind == fieldString {
			texts[i] = string(taken(field.value, field.len))
		}
	}
	return texts, nil
}

func (o *outcome) err() error {
	if o.isErr == 0 {
		return nil
	}
	return errors.New(string(taken(o.words[1], o.words[2])))
}
