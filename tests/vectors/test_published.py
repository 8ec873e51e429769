"""What makes the vectors holds the values that the standards print."""

import pytest

from tests.vectors import gcm, mac, p256

# RFC 6979, appendix A.2.5.
SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
POINT = (
    0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
    0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
)
NONCE = 0xA6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60
SIGNATURE = (
    0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
    0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
)


def test_signatures_are_those_of_rfc_6979() -> None:
    assert p256.public(SECRET) == POINT
    assert p256.sign(SECRET, p256.hashed(b"sample"), NONCE) == SIGNATURE
    assert p256.verifies(POINT, p256.hashed(b"sample"), *SIGNATURE)
    assert not p256.verifies(POINT, p256.hashed(b"test"), *SIGNATURE)
    assert p256.times(p256.N) is None


def test_lengths_and_integers_are_those_of_der() -> None:
    assert [p256.length(one) for one in (0, 127, 128, 256)] == [b"\0", b"\x7f", b"\x81\x80", b"\x82\1\0"]
    assert p256.length(5, longer=1) == b"\x81\5"
    assert p256.length(5, longer=2) == b"\x82\0\5"
    assert [p256.integer(one) for one in (0, 127, 128, -1, -128)] == [b"\0", b"\x7f", b"\0\x80", b"\xff", b"\xff\x80"]
    assert p256.oid((1, 2, 840, 10045, 3, 1, 7)).hex() == "06082a8648ce3d030107"


@pytest.mark.parametrize(
    ("plain", "expected"),
    [  # McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 and 14
        ("", "530f8afbc74536b9a963b4f1c4cb738b"),
        ("00" * 16, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
    ],
)
def test_galois_counter_mode_is_that_of_its_authors(plain: str, expected: str) -> None:
    assert gcm.encrypt(bytes(32), bytes(12), bytes.fromhex(plain), b"").hex() == expected


def test_key_wrap_is_that_of_rfc_3394() -> None:
    kek, key = bytes(range(32)), bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
    expected = "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"  # 4.6
    assert gcm.wrap(kek, key).hex() == expected


@pytest.mark.parametrize(
    ("key", "message", "expected"),
    [  # RFC 4231, test cases 1, 2, 6 and 7
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            b"\xaa" * 131,
            b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to"
            b" be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ],
)
def test_hmac_is_that_of_rfc_4231(key: bytes, message: bytes, expected: str) -> None:
    assert mac.tag(key, message).hex() == expected


def test_hkdf_is_that_of_rfc_5869() -> None:
    # Test case 3: no salt, no info; the first 32 of its 42 bytes.
    assert mac.derived(b"\x0b" * 22, b"").hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
