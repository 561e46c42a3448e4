package revocation

import "math/big"

// serialKey is a serial number's bytes, big-endian, without leading zeros: the
// form rules and CRLs are indexed by. It writes into buf where that is large
// enough, which 32 bytes are for every serial number RFC 5280 allows.
func serialKey(serial *big.Int, buf []byte) []byte {
	if serial == nil {
		return nil
	}
	n := (serial.BitLen() + 7) / 8
	if n > len(buf) {
		return serial.Bytes()
	}
	return serial.FillBytes(buf[:n])
}
