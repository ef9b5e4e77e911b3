// Runs a program written for Javy on QuickJS, as a core module with a main: Javy's two functions on WASI preview 1.
#include <stdio.h>
#include <unistd.h>

#include "quickjs.h"

// The program, behind what it needs of TextEncoder and TextDecoder.
static const char program[] = {
#embed "program.js"
    , 0};

enum { READ, WRITE };

// Javy.IO.readSync and writeSync: how many bytes it was.
static JSValue transfer(JSContext *js, JSValueConst self, int count, JSValueConst *arguments, int direction) {
    int fd;
    size_t len;
    (void)self;
    uint8_t *bytes = count < 2 ? NULL : JS_GetUint8Array(js, &len, arguments[1]);
    if (!bytes || JS_ToInt32(js, &fd, arguments[0])) return JS_ThrowTypeError(js, "a descriptor and a Uint8Array are wanted");
    ssize_t moved = direction == READ ? read(fd, bytes, len) : write(fd, bytes, len);
    return moved < 0 ? JS_ThrowInternalError(js, "descriptor %d is closed", fd) : JS_NewInt64(js, moved);
}

static void provide_javy(JSContext *js) {
    JSValue global = JS_GetGlobalObject(js), javy = JS_NewObject(js), io = JS_NewObject(js);
    JS_SetPropertyStr(js, io, "readSync", JS_NewCFunctionMagic(js, transfer, "readSync", 2, JS_CFUNC_generic_magic, READ));
    JS_SetPropertyStr(js, io, "writeSync", JS_NewCFunctionMagic(js, transfer, "writeSync", 2, JS_CFUNC_generic_magic, WRITE));
    JS_SetPropertyStr(js, javy, "IO", io);
    JS_SetPropertyStr(js, global, "Javy", javy);
    JS_FreeValue(js, global);
}

// Message and stack of what was thrown, on standard error.
static void tell(JSContext *js) {
    JSValue thrown = JS_GetException(js), stack = JS_GetPropertyStr(js, thrown, "stack");
    fprintf(stderr, "%s\n", JS_ToCString(js, thrown));
    if (!JS_IsUndefined(stack)) fprintf(stderr, "%s", JS_ToCString(js, stack));
}

// The process ends with the message, so nothing is freed.
int main(void) {
    JSContext *js = JS_NewContext(JS_NewRuntime());
    provide_javy(js);
    if (!JS_IsException(JS_Eval(js, program, sizeof program - 1, "program.js", JS_EVAL_TYPE_GLOBAL))) return 0;
    tell(js);
    return 1;
}
