/* Addresses: what is taken, what is refused, and that formatting gives back what was parsed. */
#include "nt.h"

static const struct {
    const char *text, *back;
    int kind, port;
} good[] = {
    {"127.0.0.1:8083", "127.0.0.1:8083", ADDR_TCP, 8083},
    {"localhost:6379", "127.0.0.1:6379", ADDR_TCP, 6379},
    {"LOCALHOST:0", "127.0.0.1:0", ADDR_TCP, 0},
    {"[::1]:65535", "[::1]:65535", ADDR_TCP, 65535},
    {"0.0.0.0:80", "0.0.0.0:80", ADDR_TCP, 80},
    {":8443", ":8443", ADDR_TCP, 8443},
    {"unix:/run/postern.sock", "unix:/run/postern.sock", ADDR_UNIX, 0},
    {"off", "off", ADDR_OFF, 0},
    {"OFF", "off", ADDR_OFF, 0},
};
static const char *const bad[] = {
    "",
    ":",
    "8083",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "127.0.0.1: 80",
    "127.0.0.1:80x",
    "::1:80",
    "::1",
    "[::1]",
    "example.com:80",
    "unix:",
    "1.2.3:80",
    "127.0.0.1:99999999999",
    "unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
    "0123456789012345678901234567890123456789",
};

static void addresses_are_parsed_and_formatted(void)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct net_addr a;
        char text[128];
        struct err e;
        T(net_addr_parse(slice_str(good[i].text), &a, &e) == RC_OK);
        T((int)a.kind == good[i].kind && a.port == good[i].port);
        T(net_addr_format(&a, text) == strlen(good[i].back));
        T(strcmp(text, good[i].back) == 0);
    }
}

static void broken_addresses_are_refused(void)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct net_addr a;
        struct err e = {0};
        if (net_addr_parse(slice_str(bad[i]), &a, &e) != RC_BADINPUT)
            printf("# taken: %s\n", bad[i] ? bad[i] : "nothing");
        T(net_addr_parse(slice_str(bad[i]), &a, &e) == RC_BADINPUT);
        T(e.text[0] != '\0');
    }
    struct net_addr a;
    T(net_addr_parse(slice_of("unix:/a\0b", 9), &a, NULL) == RC_BADINPUT);
}

int main(void)
{
    T_RUN(addresses_are_parsed_and_formatted);
    T_RUN(broken_addresses_are_refused);
    return t_done();
}
