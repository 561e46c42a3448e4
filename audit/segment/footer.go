package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// longestBound is the longest text that is kept as a bound of a row group.
const longestBound = 64

// mendFooter takes long bounds out of a file's end. The library keeps the least and the
// greatest value of a row group whole, and a body of megabytes has no place in a footer;
// told to leave bounds out, it writes empty ones, by which another engine would find no
// value equal to anything. Bounds of pages are cut to 16 bytes, and stay.
func mendFooter(end []byte) ([]byte, error) {
	const tail = 8 // length of the footer, and PAR1
	if len(end) < tail {
		return nil, fmt.Errorf("the footer is missing")
	}
	length := int(binary.LittleEndian.Uint32(end[len(end)-tail:]))
	if length > len(end)-tail {
		return nil, fmt.Errorf("the footer has %d bytes of %d", length, len(end))
	}
	start := len(end) - tail - length
	var protocol thrift.CompactProtocol
	var meta format.FileMetaData
	if err := thrift.Unmarshal(&protocol, end[start:len(end)-tail], &meta); err != nil {
		return nil, fmt.Errorf("read the footer: %w", err)
	}
	for i := range meta.RowGroups {
		for leaf := range meta.RowGroups[i].Columns {
			stats := &meta.RowGroups[i].Columns[leaf].MetaData.Statistics
			if len(stats.MinValue) > longestBound || len(stats.MaxValue) > longestBound {
				stats.MinValue, stats.MaxValue, stats.Min, stats.Max = nil, nil, nil, nil
			}
		}
	}
	footer, err := thrift.Marshal(&protocol, &meta)
	if err != nil {
		return nil, fmt.Errorf("write the footer: %w", err)
	}
	end = append(end[:start], footer...)
	end = binary.LittleEndian.AppendUint32(end, uint32(len(footer)))
	return append(end, "PAR1"...), nil
}
