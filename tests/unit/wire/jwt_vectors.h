/* Made by jwt_vectors.py; see there. Keys for tests only. */
#ifndef UNIT_JWT_VECTORS_H
#define UNIT_JWT_VECTORS_H

#include "base/def.h"

#define VEC_NOW_MS 1794000000000LL
static const char vec_jwks[] UNUSED =
    "{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"rsa\", \"n\": \"ylRlbrF4EJAZ61SIfLUfCNmLPblRKocvrE0fwf"
    "3JCvYymhXQgGj7-VGBuzi-NDNJkXJPhBS9lS3N2bKvpePczQPVlvk7gTSC7btdMSZbXpS7L30Oo7pxwpuzw8RNZYMMXw0eOb"
    "YEuY3o-HU1TcNpQ4zhSsW_M7P1_F3nnzp2IrgG_9FyTABj_QKc-GOTdw7v9w-GImpHCuYCHWw-76sFOEBX5fgetKFM8L_Nkp"
    "bhEtLxJ5EnqA8_3V5V3edi3saQ47ys3r5Gaxbse7NVZgomQ4XMYArnIOpjq7xLsiQibXaiIAH2x6H_DB9IPPthSlyNrpK5V6"
    "IZjzgZU-H6GM0Ibw\", \"e\": \"AQAB\", \"use\": \"sig\"}, {\"kty\": \"EC\", \"kid\": \"es256\", \""
    "crv\": \"P-256\", \"x\": \"Gm1VVT6RXNJBL4UMq8lRdP4oXm7F0nxmfFbuKQG_uD4\", \"y\": \"dMr_Bmg_DgMXi"
    "OM4NN0pUlAQ_v991qklMJf4C4Cu3Kk\"}, {\"kty\": \"EC\", \"kid\": \"es384\", \"crv\": \"P-384\", \"x"
    "\": \"Dbuk3ArYA66BLdXpcG-U2LLFsVO_J5O-Mf5voqgcddHYURgZN1xWfZNlk7DfWapg\", \"y\": \"uj0rD8vrUSK6u"
    "GSIeF_Wg17wP1K9yKmE5X2V0KwgXbkQMuydUVxrvjK4HoASevlo\"}, {\"kty\": \"EC\", \"kid\": \"es512\", \""
    "crv\": \"P-521\", \"x\": \"ANg-Gy2Z9qwWwrIjD0lROmTTCSrMdquLh-XTfVu8vgWQTD4b5RkyyP5A7TXqSUzMRKBne"
    "qYVJDwKfdNB9if8juDB\", \"y\": \"AEmuuepU29xvEbw8KL5FBjO2dodwCYnTgFs0RDXCx3ngsZOUHHaQbbDOG6C39sMK"
    "mqlZ-TpfAjNDBMAly0YeZ9po\"}, {\"kty\": \"OKP\", \"kid\": \"ed\", \"crv\": \"Ed25519\", \"x\": \""
    "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
static const char vec_jwks_rsa[] UNUSED =
    "{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"rsa\", \"n\": \"ylRlbrF4EJAZ61SIfLUfCNmLPblRKocvrE0fwf"
    "3JCvYymhXQgGj7-VGBuzi-NDNJkXJPhBS9lS3N2bKvpePczQPVlvk7gTSC7btdMSZbXpS7L30Oo7pxwpuzw8RNZYMMXw0eOb"
    "YEuY3o-HU1TcNpQ4zhSsW_M7P1_F3nnzp2IrgG_9FyTABj_QKc-GOTdw7v9w-GImpHCuYCHWw-76sFOEBX5fgetKFM8L_Nkp"
    "bhEtLxJ5EnqA8_3V5V3edi3saQ47ys3r5Gaxbse7NVZgomQ4XMYArnIOpjq7xLsiQibXaiIAH2x6H_DB9IPPthSlyNrpK5V6"
    "IZjzgZU-H6GM0Ibw\", \"e\": \"AQAB\", \"alg\": \"RS256\", \"use\": \"sig\"}]}";
static const char vec_jwks_other[] UNUSED =
    "{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"other\", \"n\": \"tSMRMM_vxdHWIQ58vxL9NmwzAEEoOnwMrfq1"
    "STYwnuKoGPWtEZsOwaC_pe_OSPC9oOM4nsiGXIPOba4IRRp2LwrZTbMP_t5Xi62OztCsdJZW7xOyPOIJ5n15D1viyxfrXOSP"
    "DbdGV2swokMeIMNstUkodZWW5uLdCq9BdD-7xrZFhOVK1lnxi62cL8URkKkmslKJzHRANNePiNZ8LTGs0g1UXnI4txuJjcvI"
    "VZqidxsuCUQS6BXadT6lKc_ZuNPYkKbNiE9eia59-Ycfua9ToRi9cSwQ_tYCT37vmkbU4Ie3zre5KbblOJtYtaUr1e00zgE_"
    "or-huQSUcoiw7NnuFQ\", \"e\": \"AQAB\"}]}";
static const char vec_jwks_small[] UNUSED =
    "{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"rsa\", \"n\": \"lbWAGYTeCNDGsQIWilNX3YKSVVnaEvllNK4xvW"
    "cJpKhrbZ4VpN4qyLcsTVMb6Tyu2Ca3OQgwDz7q8lmuZbcEKsRE32j92bYv2EmqsguNS8hHO5rCNoNAPGBGDfrnwJVNSY1xQr"
    "r4JxNbMkxlvv-F-L22dOMP7c_EcWZCHxvmU9s\", \"e\": \"AQAB\"}]}";
static const char vec_jwks_both[] UNUSED =
    "{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"rsa\", \"n\": \"ylRlbrF4EJAZ61SIfLUfCNmLPblRKocvrE0fwf"
    "3JCvYymhXQgGj7-VGBuzi-NDNJkXJPhBS9lS3N2bKvpePczQPVlvk7gTSC7btdMSZbXpS7L30Oo7pxwpuzw8RNZYMMXw0eOb"
    "YEuY3o-HU1TcNpQ4zhSsW_M7P1_F3nnzp2IrgG_9FyTABj_QKc-GOTdw7v9w-GImpHCuYCHWw-76sFOEBX5fgetKFM8L_Nkp"
    "bhEtLxJ5EnqA8_3V5V3edi3saQ47ys3r5Gaxbse7NVZgomQ4XMYArnIOpjq7xLsiQibXaiIAH2x6H_DB9IPPthSlyNrpK5V6"
    "IZjzgZU-H6GM0Ibw\", \"e\": \"AQAB\"}, {\"kty\": \"RSA\", \"kid\": \"other\", \"n\": \"tSMRMM_vxd"
    "HWIQ58vxL9NmwzAEEoOnwMrfq1STYwnuKoGPWtEZsOwaC_pe_OSPC9oOM4nsiGXIPOba4IRRp2LwrZTbMP_t5Xi62OztCsdJ"
    "ZW7xOyPOIJ5n15D1viyxfrXOSPDbdGV2swokMeIMNstUkodZWW5uLdCq9BdD-7xrZFhOVK1lnxi62cL8URkKkmslKJzHRANN"
    "ePiNZ8LTGs0g1UXnI4txuJjcvIVZqidxsuCUQS6BXadT6lKc_ZuNPYkKbNiE9eia59-Ycfua9ToRi9cSwQ_tYCT37vmkbU4I"
    "e3zre5KbblOJtYtaUr1e00zgE_or-huQSUcoiw7NnuFQ\", \"e\": \"AQAB\"}]}";
static const char vec_jwks_secret[] UNUSED =
    "{\"keys\": [{\"kty\": \"oct\", \"kid\": \"hs256\", \"alg\": \"HS256\", \"k\": \"AQIDBAUGBwgJCgsM"
    "DQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4_QA\"}, {\"kty\": \"oct\", \""
    "kid\": \"hs384\", \"alg\": \"HS384\", \"k\": \"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJ"
    "SYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4_QA\"}, {\"kty\": \"oct\", \"kid\": \"hs512\", \"alg\": \"HS51"
    "2\", \"k\": \"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT"
    "4_QA\"}]}";
static const char vec_pem_rsa[] UNUSED =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAylRlbrF4EJAZ61SIfLUf\n"
    "CNmLPblRKocvrE0fwf3JCvYymhXQgGj7+VGBuzi+NDNJkXJPhBS9lS3N2bKvpePc\n"
    "zQPVlvk7gTSC7btdMSZbXpS7L30Oo7pxwpuzw8RNZYMMXw0eObYEuY3o+HU1TcNp\n"
    "Q4zhSsW/M7P1/F3nnzp2IrgG/9FyTABj/QKc+GOTdw7v9w+GImpHCuYCHWw+76sF\n"
    "OEBX5fgetKFM8L/NkpbhEtLxJ5EnqA8/3V5V3edi3saQ47ys3r5Gaxbse7NVZgom\n"
    "Q4XMYArnIOpjq7xLsiQibXaiIAH2x6H/DB9IPPthSlyNrpK5V6IZjzgZU+H6GM0I\n"
    "bwIDAQAB\n"
    "-----END PUBLIC KEY-----\n";
static const char vec_pem_pkcs1[] UNUSED =
    "-----BEGIN RSA PUBLIC KEY-----\n"
    "MIIBCgKCAQEAylRlbrF4EJAZ61SIfLUfCNmLPblRKocvrE0fwf3JCvYymhXQgGj7\n"
    "+VGBuzi+NDNJkXJPhBS9lS3N2bKvpePczQPVlvk7gTSC7btdMSZbXpS7L30Oo7px\n"
    "wpuzw8RNZYMMXw0eObYEuY3o+HU1TcNpQ4zhSsW/M7P1/F3nnzp2IrgG/9FyTABj\n"
    "/QKc+GOTdw7v9w+GImpHCuYCHWw+76sFOEBX5fgetKFM8L/NkpbhEtLxJ5EnqA8/\n"
    "3V5V3edi3saQ47ys3r5Gaxbse7NVZgomQ4XMYArnIOpjq7xLsiQibXaiIAH2x6H/\n"
    "DB9IPPthSlyNrpK5V6IZjzgZU+H6GM0IbwIDAQAB\n"
    "-----END RSA PUBLIC KEY-----\n";
static const char vec_pem_ec[] UNUSED =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGm1VVT6RXNJBL4UMq8lRdP4oXm7F\n"
    "0nxmfFbuKQG/uD50yv8GaD8OAxeI4zg03SlSUBD+/33WqSUwl/gLgK7cqQ==\n"
    "-----END PUBLIC KEY-----\n";
static const char vec_pem_ed[] UNUSED =
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
    "-----END PUBLIC KEY-----\n";
static const char vec_private_rsa[] UNUSED =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDKVGVusXgQkBnr\n"
    "VIh8tR8I2Ys9uVEqhy+sTR/B/ckK9jKaFdCAaPv5UYG7OL40M0mRck+EFL2VLc3Z\n"
    "sq+l49zNA9WW+TuBNILtu10xJltelLsvfQ6junHCm7PDxE1lgwxfDR45tgS5jej4\n"
    "dTVNw2lDjOFKxb8zs/X8XeefOnYiuAb/0XJMAGP9Apz4Y5N3Du/3D4YiakcK5gId\n"
    "bD7vqwU4QFfl+B60oUzwv82SluES0vEnkSeoDz/dXlXd52LexpDjvKzevkZrFux7\n"
    "s1VmCiZDhcxgCucg6mOrvEuyJCJtdqIgAfbHof8MH0g8+2FKXI2ukrlXohmPOBlT\n"
    "4foYzQhvAgMBAAECggEAAWbQRRIJqOO2qkCtqV9/1YncQxMzkr3ZALKQE8H0UJUg\n"
    "CJ06EomnpTSBV5CvEKGCUvWdw2Z5Yb0tfeKVAOsxLmJmamNTnDOG7KqtnJeNbnxN\n"
    "R6jwHwY9n4GAn0yO1LMxtL7chL3UDo0DHiWBtwYxhnxFW0U/a9ZFT/g+kIXRJ7Bn\n"
    "gal9DE911euZxBpCON/o9MKLWfWrNZg3fzgA4wkxv9iPybFG7SJMjaEYMsqFTldE\n"
    "lNDmoyEm/8/9kvQ02z3g15a0IcWqKnUPFQOZCxHmb7V/9AR+CUxGBuBEhu9NdTr0\n"
    "2stfNtuhATOpp6EO4AkibYtLlu/maMlL7CNiEZw5gQKBgQD4fsO3ZJjUHejO0qPc\n"
    "7kS7LqaeXL6TnJpZ4Uxj2QnviEdrY4QIWqkWG+Od70CzOySyzxWStQ7uYkNqxmMz\n"
    "6rPG2mwf72VakaKpUq27KEDXwJMCGViw5VhhGv0qOabDDMTfJ6iVAUe3RNa13D/D\n"
    "VaFD0rDL1D/vLuDPfjGmNizs4QKBgQDQcLQ8tX8pmF7Ga6fY2wqVZFJJmj2mUCt2\n"
    "7pdWjiAT+RnVz6r/kIne6DsDuFvDWQx0bjO2w8EXa+LgaNadyM3y76HoA8L3DuVM\n"
    "JCCi4wi9QHJqsHQnsK6VpyK1p/OQssllgc6p0khQVQEKUauLS5AsJ5kcv3Ex4jLM\n"
    "+QpuZCbPTwKBgHHqyxZby6QSQhPuhKhXorKc5E1c/xD0jd3+ZuKvMNragsM8T970\n"
    "kOdNyb8xW1vPFTfTr3QeBMZLzdQ5Nmkqg1f58e+B89jdQtCU0ogmH/PImJwxunL9\n"
    "8NIzaTPeUhDA3c/fgm0stQ/TQwsD+Uc3DkLlZ59JojWoK+9zTpd/5oCBAoGARxzc\n"
    "cQXe33sLgpiCCDsazkMOy+uictZRLd9SpIYSrZ3D0a1rAov2baU/VRKVw/zigeqD\n"
    "HCyG+Q2mtrct2WED2okk7LozzwQ2+JYuyEO63I5bOsj+p/fgaFBASEeHkmtcyJPT\n"
    "xR5n63hExZd9diWOh3HvC97IqKMqf8HLbEQg9YMCgYEA7okzVRh8R8jzKcQDj97K\n"
    "X3X3yfNjhYUHb24fNr08KIDpeL+PAFaUmdPaG2zWITd1FWuFqn2WUIyRvRSsmJU2\n"
    "f8JqoaKfwvGWpAkZbE9NLz8xIwYrm24TOVybTRtKEv4D4QHH5PpOpwLUwD0Lymsy\n"
    "GlWmmK2hHQpXah85JBuXels=\n"
    "-----END PRIVATE KEY-----\n";
static const char vec_private_es256[] UNUSED =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZis0XDbuMIp1HPrM\n"
    "sgjVziXaxR4pV3dXrXN5JYmqM6KhRANCAAQabVVVPpFc0kEvhQyryVF0/ihebsXS\n"
    "fGZ8Vu4pAb+4PnTK/wZoPw4DF4jjODTdKVJQEP7/fdapJTCX+AuArtyp\n"
    "-----END PRIVATE KEY-----\n";
static const char vec_private_es384[] UNUSED =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAVP8RP4kPzXd/tdByr\n"
    "/OiVRudqejN+nBDdz4yLe8Z0bXkVdQ5+oqJ96+tD6qQhdVuhZANiAAQNu6TcCtgD\n"
    "roEt1elwb5TYssWxU78nk74x/m+iqBx10dhRGBk3XFZ9k2WTsN9ZqmC6PSsPy+tR\n"
    "Irq4ZIh4X9aDXvA/Ur3IqYTlfZXQrCBduRAy7J1RXGu+MrgegBJ6+Wg=\n"
    "-----END PRIVATE KEY-----\n";
static const char vec_private_es512[] UNUSED =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIBrbG+pUFjkdvhBeQv\n"
    "epjd5Y8uM+phPBtf7gBTiMUBMsy4WjPjKdKtlDsQUmrdE6H3sdAqwOMzPYtO1sFr\n"
    "wcG9eCahgYkDgYYABADYPhstmfasFsKyIw9JUTpk0wkqzHari4fl031bvL4FkEw+\n"
    "G+UZMsj+QO016klMzESgZ3qmFSQ8Cn3TQfYn/I7gwQBJrrnqVNvcbxG8PCi+RQYz\n"
    "tnaHcAmJ04BbNEQ1wsd54LGTlBx2kG2wzhugt/bDCpqpWfk6XwIzQwTAJctGHmfa\n"
    "aA==\n"
    "-----END PRIVATE KEY-----\n";
static const char vec_rs256[] UNUSED =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.gqdpuolAxeO0KPXYOr3gIh0FMdN0sng-tz-4zcNhIc3Va6Vd37vsuGq9bC8ma4x8EA"
    "0pvwqgTBuUGxuf0-aif8YILfaGi4FyXJI8w6WZ2Q_6mbO-faxnsobrxPTNRLnXDbqDpOJVStr9XXa1aWcdhypgmHFddaCKFo"
    "C8MnOiRIr-XZHpQi3gyfU0JEfITj6pCxOQF8cGkCzpA-y_HvXjNJA3fMnhLxHBO21x51LWZwq1MIQUooAtl4FF1OV4T208Te"
    "pgxA2z31krkl6CKG3yiBecUraICXe_7pA1Eqm2sbXO8qecnHIJjRdzRNcilxcfCL0k7SF9ENqUVv6SQ0FM7A";
static const char vec_rs384[] UNUSED =
    "eyJhbGciOiJSUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.bFWRs--qfDIZ9T31QFsROboc-mxXcVOWCA3SC6HLQZvUeQ4I4KZTEFnoUu9bHqRjGL"
    "K5RfkNbaAffwFDdA8iRt8lcwVrPB7yPoVIreU361VG8X6xhYkHmKYiKbYQK2-_ByMFyJ8e0RpiZXNUEIk997AyhbWPAEQJS6"
    "pRg2v7hFhadUnGBrXRFrp9l3PjBmFFykOpfUtSZOWro2qhdP_4kyJpV_kgxb3gsZMIlplZAI56liP4wr_LO_GaOkSnwr2gJk"
    "M8GhRYYRC9ohQNNva9kTkE3vOq4qh1YBnD0e-WVkyfm2U-LNiowidsIMeDQ1RA9j-nzpGLgXy-e5qlvbDUgA";
static const char vec_rs512[] UNUSED =
    "eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.N9JA3LxBIqTKVR1Kitgy1Ptx2XEmthS0p2ktvQ1MfDcEkC0b0cgbwKKhBibf14msDh"
    "pDUOB0n1a1rFrnkf--1xkkluSTT9or19cgDNRyuPnTwTLmXugeb167N2ifSqqgGTxUAn_s_twM7gWihgGp_Wg1wDNEROSlbp"
    "PeBvvEaTnDAKUuw5SBi60hWA10ngh8I2n_jnv8Dsai_WtBhDLJjf9AHovi_7zvxakfUvgbWWyLPH57a1Kd1awA_r1JUJEg-6"
    "tvMMf5C6APJMbCrNLOe7BsmSMUYuk3LI-RVEKfUed4-VeeF2ztTTpPjlDideh5tmlxNLhOsOn7kIfT1ENslA";
static const char vec_ps256[] UNUSED =
    "eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.qP53p9EFi2rsx0qRF9_eLcGfhLhidUPBSr6M5icCdJq-XwVRZFrsyFHi8vI_bAZl58"
    "yAhw3tej-IcbwD5WgaZSCnixRa9A_2dtiW6gZ-57k4yPmiBi8Y7vERuW_evS1Obw4KFUydjIK-CwEcKQs7dbw7bVg8wlMv4K"
    "eBN_XCHZpQj62k4HlamS_Cckp4aY8VSZ_r9ZKA3v6axOGeDpPGEn8MD0SX4wP9B0SHwXyie4YofqYOKJf0bckWVpPDHa3Sw7"
    "qm4ZHm0MUggXcE1tF9PdvgGo3nwIEqcOyt1fD5AuIQv7rHkklAtTMjrCyUPsvr-B9WOyuIOv76I2kGnGx8-Q";
static const char vec_ps384[] UNUSED =
    "eyJhbGciOiJQUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.O_kGC0YoQNxv5Kmvdw5QCuy_96Vi5xvSeE0h0rlSV4dS9JtY05tO_4mmiti8iIzZB8"
    "RxDoKbf68B0N2R6eGLZodPkZ0PbxSvJETHZa90fIF3yNs9B1lcunNelj6TNeHGV9EFN8p8a_UK-w4i7Mc603yacF85-CRQm8"
    "lWJn2wpgGbYcudhEjPjxhDvsAPRYQEV62lIXtMUBA4HAnJ9v73R2yd_Dn0PDN_oaHjqp6ARRS_Lq08jjLBj8mk78ICnKDJVv"
    "670STwVYm8M2GEUZ03dz7ezfkaqPByyar6aemyr7weZCRkTM13CZRK3RJURqhsvj1uEepd0Q9bZTTbrsrTew";
static const char vec_ps512[] UNUSED =
    "eyJhbGciOiJQUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.hXV700BFB_XMkvBdkL51dKHlgV1htrK4LdgEl3cxjFpZRdGEelizX1rBy86xY9mUq7"
    "2ebb1j_QIl2XkFc8C-sJTelEw-Oesnk1V4FIjMuPae0UekynoKtUsSjn6U3mAbhEulekMIHZOS3pz8R5jcll55x1D6WB3sQM"
    "7plj8LgXEfkQg9jy8-rMYMU4T3FR_x8RXgWCb4KEaiIvJRN5MVqAjl8RsKJqs2ha9wFyQx4-Az57SaoDxnnYuShcWRydT6Ay"
    "ZFyS5BDGZ_-uMK-goL-s4OJJznDPCNij6IvBpqOtnLevSqkz7N347ZXSKcoOSW3IsiMGl2sfOIKLoWdEqTww";
static const char vec_es256[] UNUSED =
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImVzMjU2In0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwi"
    "c3ViIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2Nv"
    "cGUiOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xl"
    "cyI6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.4aPNZ7Jta4OlE9l0aR3rZ1Ol53iGFdLxJI5jvfeEyuuv-tZDzmQoYSSe6Xkc1V8"
    "WtYFXEBA8BqnWRnCDWD_ANw";
static const char vec_es384[] UNUSED =
    "eyJhbGciOiJFUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6ImVzMzg0In0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwi"
    "c3ViIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2Nv"
    "cGUiOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xl"
    "cyI6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.6aZdqDsOd2tJRXIpbY9_u3-j3ZLDlO2lp1vACsCjjCRojYrfQV1A0LfkPrrrnWZ"
    "RAJ6OD02xAAbYpNphxhFWdSr9g452lfkMNpYRTz-iFaQhiqtDncGrXGsb-vbQTAfL";
static const char vec_es512[] UNUSED =
    "eyJhbGciOiJFUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6ImVzNTEyIn0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwi"
    "c3ViIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2Nv"
    "cGUiOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xl"
    "cyI6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.AHa8gA45RfsAOtPTfJWTb1S2Wg3dQgpMU5hVRRIc3pHRMgRD5gKssMvWjwZsQQF"
    "aP_yEUQj-xtYjOQ5OMUvHjTQ4AbUoaVsNvcFCBuQ0L0froFqyZ31VioVorMpCvL1JSFEHnXxjFdlvHuZ7yOEFIwIZi90u6VM"
    "5-Tb9g0kCMAy2BFbV";
static const char vec_hs256[] UNUSED =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImhzMjU2In0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwi"
    "c3ViIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2Nv"
    "cGUiOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xl"
    "cyI6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.6U2nc5LsqI9B-2DLDEuSGXQKRSmyGlRDdErqAbRW-wc";
static const char vec_hs384[] UNUSED =
    "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6ImhzMzg0In0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwi"
    "c3ViIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2Nv"
    "cGUiOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xl"
    "cyI6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.MAeX6MRiZHifPg39t5CTE8h68xbYfiCFgbjkBoaUaYUvgqP_mFt7xy8i7exei_u"
    "Q";
static const char vec_hs512[] UNUSED =
    "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6ImhzNTEyIn0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwi"
    "c3ViIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2Nv"
    "cGUiOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xl"
    "cyI6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.FXeS8iQ0ek_wr-FyIATcY6LMB2d84qZKLtd1VKDjWAfIrU_oSz8qtAgY4pwOoNA"
    "4i_6afjMeYuSLxlSabSy0yQ";
static const char vec_eddsa[] UNUSED =
    "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImVkIn0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3Vi"
    "IjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGUi"
    "OiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI6"
    "WyJhIiwiYiJdLCJ2aXAiOnRydWV9.2USk-hicK14HSq2nB1VvZdnrONiJJGEQkj_2z7psJjyJo0jZN_yn3XAMwQA1NwNpWC7"
    "YTt0Y43Vf7dEsvmkEAg";
static const char vec_rs256_no_kid[] UNUSED =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3ViIjoiYW5uIiwiYXV"
    "kIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGUiOiJyZWFkIHdyaXR"
    "lIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI6WyJhIiwiYiJdLCJ"
    "2aXAiOnRydWV9.p76Qbj2CFv2G6mowMV2lwF9gu7oVfiIha9lueV5RPpm2TyADBF1jIyx0diK5DZqecokHDZKkdnqZZ2Ik6m"
    "lNS50It7PjeGxTQzpcT7PI6stk275y1ZmJ52VVIagLcI7-O6f0-cKH5g12pr3trt344qFtdSiN2vLaNJKn5TqUpL5oTYmTLC"
    "v8JaqQQz9gfPL35StfmBlhHPaFpPlkm-XP6CW-lSC1NnKUr_-T2p1SNs1s6fbT2kgtG3zLdiXnTdAyjhADwTbUPAZ9P6O7js"
    "1G2PrnlAcBwLGgqAIX4wVPUQX02_DtsGsMqe7bPMcbAWgwgmtXXxxaq3T6tvEhoiowFQ";
static const char vec_rs256_other[] UNUSED =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im90aGVyIn0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwi"
    "c3ViIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2Nv"
    "cGUiOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xl"
    "cyI6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.op0LUwewUpAsOSLLOE8kWiw9aT4PVzzrBHvD2Hzqy5wStqMPYjOS6jPT8tCflC6"
    "qy8MwriHPbTNPiKRRGU1VGBmROnqR5DuGeZuRp2xUq1B5ak08w7bKYsJ_1btNHVqSZ0FS6eI_Gtr2-t-hsXC2akjSLalf3Hj"
    "lRRQkY-fJ-ge8BA98XSGh47AkX4espdrA-NQ3Wv418ArEF-ws8_J5y7t1JeDi9KUixrjSz6Cn-o2jWysZn8GZzie6BCGMbkS"
    "RRcXJg3yeyLR2lsqdS_RQ49ZA3NAnKlf7D2zDOpeaAT-grX0ZlsqPCttr7GZAntnG39pK7xr2ebJyxud4vhdFAw";
static const char vec_rs256_forged[] UNUSED =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.isv5Dz03MDMdE_KilvWnKEex53LQ_YaeAP9uuJ6eSnBwx5SXhn6y_mDZ-ZJNefXqPT"
    "Nd4-VwMtLbQoqHusQxfM77kM0X2nyhdfxj42LfUFfJGbT0Bjcsn25sxFluaQPd-IRoYsyiDQTxGZvfBwPBAoDPSFM0301C6I"
    "IUYs4L79irEt2isWhLfFkgbIuGuBSo19u3jVHzr2Zg9UA__g2rCY-_SoB6s2A7qlm0SbQzP9FwS9QUGGIIx3XIPJY6uaLZ7t"
    "Fc47ZJzlrXf6pQ3ywtJXs2DCwozcsKrTRA7-RogM9fzXh0HHM3T6qxsA4qEPKmAl3Yi_tp2z8cnQsntzD7ew";
static const char vec_rs256_small[] UNUSED =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.YcNP__d95UWCn4ENeGaLBThZDQl4-CnY0YwBExPuP1Ht0450xowJ1Wzc5OrHAiIOys"
    "kgOh4Ft8kgjUzaOv67-cV5O8oVeK1gVBBhmUoacq49bdsbGf5ho25urSA_9CTASge_CDW15OWqrEbxmbRf6m1kCXM5uXaAUW"
    "q_weYy7gI";
static const char vec_rs256_expired[] UNUSED =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTM5OTY0MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.BI0dZz311IJN3nFjK7mPv-c9NLEqVS1HDvl16BGPviE24Tj4l_U0JEoeJbcdLVeKcY"
    "7JhYbb-dW0wsRp-Ef98FHul1y614ri7kSBSbNnoBNO0IAHFtXeTK1NR2BHz9ByPTp3fsNBR3dlnpeAJQE-1FArv38BHWBxoT"
    "QBAXWWkFRJ3GXo4-vuYOBWyV5Skxl5bBvdOUj96j_XKOubqZFsnBuUkLYUiqtX14rEHjGwbiFu-_XO0NjolvPrkqu9abQ2nK"
    "rt-MDzvEBMv3AHsxX81Ssu_XUOpFVyAbLFsLXmVszOR9tG5ZTPYGm8DuB0NS566Bmy5z-BoOb2HjTwryinFQ";
static const char vec_rs256_bob[] UNUSED =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYm9iIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIiwiZW1haWwiOiJib2JAZXZpbC5leGFtcGxlIiwib3JnIjp7InVuaXQiOnsiaWQiOjd9fSwicm9sZXMiOltdLCJ"
    "2aXAiOmZhbHNlfQ.uI2QHkwtR51h_seR6RYJjUkVn-keJ2E3EVG_9_T5cfkYGAyoBlDObCJW4J9lHYKYh1XfanIAkiZxaAWf"
    "3R8hoICJmoD_dqMLN0xexTbtqG8eluNUnAk8Cf0r_txw1gweTK57VEnrV0_M5bSMo1sesv8FlK8rfmDRSrC3tTK08B0uwtlB"
    "ymHUDF4usWK68YgKVZq3tUqtU1uZT0zm5Aw5ukuMA9kwKo_DVhLMeN53B6JuNx7MZwGwyQxJXGaFbm5ndxDjC0nXh6XPhrwN"
    "BDdKo_crYGwgmZDXm5idyBnEkioZkqzxDBNYfLJTIAgRuzCHlC0dlqyff5d0OdQvFsCziA";
static const char vec_rs256_elsewhere[] UNUSED =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUiLCJ"
    "zdWIiOiJhbm4iLCJhdWQiOlsic2hvcCIsInN0b2NrIl0sImV4cCI6MTc5NDAwMzYwMCwiaWF0IjoxNzkzOTk5OTQwLCJzY29"
    "wZSI6InJlYWQgd3JpdGUiLCJlbWFpbCI6ImFubkBleGFtcGxlLmNvbSIsIm9yZyI6eyJ1bml0Ijp7ImlkIjo3fX0sInJvbGV"
    "zIjpbImEiLCJiIl0sInZpcCI6dHJ1ZX0.nmVf7-HdYf8dtWcAX7k5tf8X40TrPE7iCGnSpeikMOezisABiW10dcmqjz_qbwU"
    "8YnHBhRqC7Yxn3maXRJdLsOa7OIrkothr2wwC6UepXIPRnSmY6znSW2xM7tEycmLA3YeQxMF56oJBK3xlEfRO-p7aKDFLXw8"
    "VmobLaA4GR_hEtgOSmyJBbuDQfhV933iPeAb1Cgj8Y5Rd8XBAvoEV-CcA9BC5Ms3P9KQQmpEx4o0-87W2fhZ-4GJ6K8H4NXL"
    "TSxujWfogyrTqy__y66KI1FBvp3bTkVglvn105Gw5KLP5UCHb8oLfQK2YaagicJHb-FpLjqQ_c2FTZyleN57yEw";
static const char vec_hs256_by_pem[] UNUSED =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.IjoMot80mvgziVK-xwEc74j852jjGXX8Y8Fr78t_zm4";
static const char vec_hs256_by_jwk[] UNUSED =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.Sl0iWL14niW1AvJwaGvX89gwCz6XFTBjx8gJvqky1FU";
static const char vec_hs256_by_n[] UNUSED =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.6xHD2LSh3zoBd2A0rHY6-LddtIsMtz9Ke2hzSa4LhyI";
static const char vec_hs256_by_ec[] UNUSED =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImVzMjU2In0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwi"
    "c3ViIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2Nv"
    "cGUiOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xl"
    "cyI6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.Rz3tJDH6KFUwcGkduQ5lTEGPxqITf8wOul3L81cuDbo";
static const char vec_hs256_empty[] UNUSED =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3V"
    "iIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc5Mzk5OTk0MCwic2NvcGU"
    "iOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJpZCI6N319LCJyb2xlcyI"
    "6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.tsWLOWe4pMABIde-pm0D9QguPjeTciSZ2jhr5h7Rwgk";
static const char vec_rs256_with_jwk[] UNUSED =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSIsImp3ayI6eyJrdHkiOiJSU0EiLCJraWQiOiJyc2EiLCJu"
    "IjoidFNNUk1NX3Z4ZEhXSVE1OHZ4TDlObXd6QUVFb09ud01yZnExU1RZd251S29HUFd0RVpzT3dhQ19wZV9PU1BDOW9PTTRu"
    "c2lHWElQT2JhNElSUnAyTHdyWlRiTVBfdDVYaTYyT3p0Q3NkSlpXN3hPeVBPSUo1bjE1RDF2aXl4ZnJYT1NQRGJkR1Yyc3dv"
    "a01lSU1Oc3RVa29kWldXNXVMZENxOUJkRC03eHJaRmhPVksxbG54aTYyY0w4VVJrS2ttc2xLSnpIUkFOTmVQaU5aOExUR3Mw"
    "ZzFVWG5JNHR4dUpqY3ZJVlpxaWR4c3VDVVFTNkJYYWRUNmxLY19adU5QWWtLYk5pRTllaWE1OS1ZY2Z1YTlUb1JpOWNTd1Ff"
    "dFlDVDM3dm1rYlU0SWUzenJlNUtiYmxPSnRZdGFVcjFlMDB6Z0Vfb3ItaHVRU1Vjb2l3N05udUZRIiwiZSI6IkFRQUIifSwi"
    "amt1IjoiaHR0cDovLzEyNy4wLjAuMToxL2tleXMiLCJ4NXUiOiJodHRwOi8vMTI3LjAuMC4xOjEveCJ9.eyJpc3MiOiJodHR"
    "wczovL2lkcC5leGFtcGxlIiwic3ViIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsIml"
    "hdCI6MTc5Mzk5OTk0MCwic2NvcGUiOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5"
    "pdCI6eyJpZCI6N319LCJyb2xlcyI6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.XQL84d5_dFlosr0cNvenFYm5H22hhLT9nb9P6G"
    "ROEzEEteOgoVRBJMSq1yfS1SsuQoCyIfKRa5fhrnTf2JDutqIX3vRHIhAw12olRepL0UILsn51aFtX_N_LDmUdfXXULcaBWW"
    "M301VvMAavFE4NFEYFKjg8vWs64i1FLHS-dxkM_NgQddZEwh6ylFolNJqfkry5AiLWWHRqDhomIZ5zsHNRUDZTqSISSFw_6T"
    "Ui4GaH3k9gN1-e2iZvIQG-H1oyNjewI7DCTCsXrHkI2hxgQy6G4jFC4ZOgpuFUuXqDktDAorQq0Vh3DiuUe7pj0FPLEzg4mS"
    "DIRuCp6wCundnhNg";
static const char vec_rs256_crit[] UNUSED =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSIsImNyaXQiOlsiZXhwIl19.eyJpc3MiOiJodHRwczovL2l"
    "kcC5leGFtcGxlIiwic3ViIjoiYW5uIiwiYXVkIjpbInNob3AiLCJzdG9jayJdLCJleHAiOjE3OTQwMDM2MDAsImlhdCI6MTc"
    "5Mzk5OTk0MCwic2NvcGUiOiJyZWFkIHdyaXRlIiwiZW1haWwiOiJhbm5AZXhhbXBsZS5jb20iLCJvcmciOnsidW5pdCI6eyJ"
    "pZCI6N319LCJyb2xlcyI6WyJhIiwiYiJdLCJ2aXAiOnRydWV9.ZfrLXfH4llQ-uuSf2PkUfE37HWV-TXi5Ln3m91RfQcR7rH"
    "iIUtN3z6iXL_4sM2jnXu8RaV4ROH1RpeeJ6Cgz4PAYspebggN3gawNk3T7KWBjDPfaGKmkUOAT72RSdR7m02T8EfWHmfIQs1"
    "aqadLcCQWi3cNbVWsRwW3NPDZz81rO7kSLtxDH8Xje2qM9l6xDxLEMx3IVeoQvIM9fv1C_uHf6aLPSqxax0Vlk0IUcpF5GPw"
    "GoCQcLtsUXD0wlTPVWWoaXdAoEAt6q8AkYwAlwp6yRlHz5LmfuJUgsP7dI32SMaGyM8AxuIo8LNJ1iq6PEbhfKA6-oKFbP1p"
    "WOkGqtrA";
static const char vec_rfc7515_a1[] UNUSED =
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA"
    "6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
static const char vec_rfc7515_a1_jwks[] UNUSED =
    "{\"keys\": [{\"kty\": \"oct\", \"k\": \"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aK"
    "tMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}";
static const char vec_rfc7515_a3[] UNUSED =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9"
    "pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqP"
    "P3-Kg6NU1Q";
static const char vec_rfc7515_a3_jwks[] UNUSED =
    "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uP"
    "HvRVEU\", \"y\": \"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

#endif
