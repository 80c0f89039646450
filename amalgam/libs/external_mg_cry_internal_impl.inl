/*
 * civetweb's log function when it is built without file systems (NO_FILESYSTEMS). civetweb.c
 * includes this file by this fixed name. Every message goes to the embedder's log_message callback;
 * without one it is dropped: a library does not write to our stdout.
 */
static void mg_cry_internal_impl(const struct mg_connection *conn, const char *func, unsigned line,
                                 const char *fmt, va_list ap)
{
    char text[512];

    (void)func;
    (void)line;
    vsnprintf(text, sizeof text, fmt, ap);
    if (conn && conn->phys_ctx->callbacks.log_message)
        conn->phys_ctx->callbacks.log_message(conn, text);
}
