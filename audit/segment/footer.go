package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// tail is what is said of the row groups of a file behind them.
type tail struct {
	meter   *meter
	footer  format.FileMetaData
	indexes []indexes // of each column of each row group
}

// indexes are the index of pages and the bounds of pages of a column, to be written
// behind all row groups.
type indexes struct{ offset, bounds []byte }

// emptyFooter is the footer of a file without events, as the library writes it: the schema,
// and what else is said of every file.
func emptyFooter() (format.FileMetaData, error) {
	var file bytes.Buffer
	w := parquet.NewGenericWriter[any](&file, newSchema(),
		parquet.CreatedBy("gatehouse", "audit segment", Version),
		parquet.KeyValueMetadata(MetadataVersion, Version),
	)
	var meta format.FileMetaData
	if err := w.Close(); err != nil {
		return meta, fmt.Errorf("write schema: %w", err)
	}
	end := file.Len() - 8
	length := int(binary.LittleEndian.Uint32(file.Bytes()[end:]))
	var protocol thrift.CompactProtocol
	if err := thrift.Unmarshal(&protocol, file.Bytes()[end-length:end], &meta); err != nil {
		return meta, fmt.Errorf("write schema: %w", err)
	}
	return meta, nil
}

// end writes the indexes, first all bounds and then all indexes of pages as readers
// expect them, and the footer.
func (t *tail) end(rows int64) error {
	t.footer.NumRows = rows
	write := func(each func(c *format.ColumnChunk, x *indexes) (data []byte, offset *int64, length *int32)) error {
		at := 0
		for i := range t.footer.RowGroups {
			for k := range t.footer.RowGroups[i].Columns {
				data, offset, length := each(&t.footer.RowGroups[i].Columns[k], &t.indexes[at])
				at++
				*offset, *length = t.meter.bytes, int32(len(data))
				if _, err := t.meter.Write(data); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := write(func(c *format.ColumnChunk, x *indexes) ([]byte, *int64, *int32) {
		return x.bounds, &c.ColumnIndexOffset, &c.ColumnIndexLength
	}); err != nil {
		return err
	}
	if err := write(func(c *format.ColumnChunk, x *indexes) ([]byte, *int64, *int32) {
		return x.offset, &c.OffsetIndexOffset, &c.OffsetIndexLength
	}); err != nil {
		return err
	}
	var protocol thrift.CompactProtocol
	footer, err := thrift.Marshal(&protocol, &t.footer)
	if err != nil {
		return fmt.Errorf("write the footer: %w", err)
	}
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	_, err = t.meter.Write(append(footer, magic...))
	return err
}
