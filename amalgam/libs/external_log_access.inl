/*
 * civetweb's access log when it is built without file systems: nothing. Postern logs each request
 * itself, once, where it is answered.
 */
static void log_access(const struct mg_connection *conn)
{
    (void)conn;
}
