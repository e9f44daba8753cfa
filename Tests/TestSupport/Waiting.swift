// What comes true by itself, soon, and nobody can say when.

/// Waits until a condition holds. Ten seconds are far beyond whatever is waited for; a test that needs them fails.
public func eventually(
    file: StaticString = #fileID, line: UInt = #line, _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + .seconds(10)
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw NeverTrue(file: file, line: line) }
        try await Task.sleep(for: .milliseconds(2))
    }
}

private struct NeverTrue: Error, CustomStringConvertible {
    let file: StaticString
    let line: UInt

    var description: String { "what is waited for at \(file):\(line) did not come true within ten seconds" }
}
