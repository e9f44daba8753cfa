// The answer to one statement. Rows stay in the memory that libpq received them in; a column is decoded when it is
// asked for, and strings and bytes are copied only then.
import CPostgres

/// The rows of an answer, and how many rows the statement touched. Cheap to copy; keep it no longer than needed, since
/// one row keeps the whole answer alive.
public struct PostgresRows: RandomAccessCollection, Sendable {
    let storage: ResultStorage

    public var startIndex: Int { 0 }
    public var endIndex: Int { storage.rowCount }

    public subscript(position: Int) -> PostgresRow {
        precondition(indices.contains(position), "row \(position) of \(count)")
        return PostgresRow(storage: storage, index: Int32(position))
    }

    /// Rows inserted, updated, deleted or selected.
    public var affectedRows: Int { storage.affectedRows }
}

public struct PostgresRow: Sendable {
    let storage: ResultStorage
    let index: Int32

    public var columnCount: Int { storage.columnCount }

    /// All columns of the row, in their order: `let (id, name) = try row.decode(Int64.self, String?.self)`.
    public func decode<each Column: PostgresDecodable>(
        _ types: repeat (each Column).Type
    ) throws(PostgresError) -> (repeat each Column) {
        var wanted = 0
        for _ in repeat each types { wanted += 1 }
        guard wanted == storage.columnCount else {
            throw PostgresError(.decoding, reason: "\(wanted) columns asked for, \(storage.columnCount) in the answer")
        }
        var column = 0
        return (repeat try next(each types, &column))
    }

    private func next<Column: PostgresDecodable>(_: Column.Type, _ column: inout Int) throws(PostgresError) -> Column {
        defer { column += 1 }
        return try Column.decode(storage.cell(row: index, column: column))
    }

    /// One column by its position, from 0.
    public subscript<Column: PostgresDecodable>(column: Int, as type: Column.Type) -> Column {
        get throws(PostgresError) {
            guard column >= 0, column < storage.columnCount else {
                throw PostgresError(.decoding, reason: "no column \(column) in an answer of \(storage.columnCount)")
            }
            return try Column.decode(storage.cell(row: index, column: column))
        }
    }

    /// One column by its name.
    public subscript<Column: PostgresDecodable>(name: String, as type: Column.Type) -> Column {
        get throws(PostgresError) {
            guard let column = (0..<storage.columnCount).first(where: { storage.columnName($0) == name }) else {
                throw PostgresError(.decoding, reason: "no column \(name) in the answer")
            }
            return try Column.decode(storage.cell(row: index, column: column))
        }
    }
}

/// Owns one PGresult.
///
/// Unchecked, because the compiler can't know that libpq never writes to a result after handing it out: every access
/// here is a read, and the one PQclear happens when nobody holds it any more.
final class ResultStorage: @unchecked Sendable {
    private let result: OpaquePointer
    let rowCount: Int
    let columnCount: Int

    init(owning result: OpaquePointer) {
        self.result = result
        rowCount = Int(PQntuples(result))
        columnCount = Int(PQnfields(result))
    }

    deinit {
        PQclear(result)
    }

    var affectedRows: Int {
        Int(String(cString: PQcmdTuples(result))) ?? 0
    }

    /// "INSERT 0 1", "COMMIT", ...
    var commandTag: String {
        String(cString: PQcmdStatus(result))
    }

    func columnName(_ column: Int) -> String {
        PQfname(result, Int32(column)).map { String(cString: $0) } ?? "\(column)"
    }

    /// The caller has checked the column.
    func cell(row: Int32, column: Int) -> PostgresCell {
        let field = Int32(column)
        let isNull = PQgetisnull(result, row, field) != 0
        return PostgresCell(
            type: PostgresType(oid: PQftype(result, field)),
            bytes: isNull
                ? nil
                : UnsafeRawBufferPointer(
                    start: PQgetvalue(result, row, field), count: Int(PQgetlength(result, row, field))),
            name: ColumnName(storage: self, index: column))
    }
}
