// What a command says when it can't go on: one line on standard error, what is wrong and how to mend it, and an exit
// code that is not 0.
import ArgumentParser
import Foundation

#if canImport(Glibc)
import Glibc
#endif

struct Complaint: Error {
    let line: String
    var code: Int32 = 1

    func exit() -> Never {
        FileHandle.standardError.write(Data("ringway: \(line)\n".utf8))
        Glibc.exit(code)
    }
}

extension AsyncParsableCommand {
    /// Runs a command's body and ends the process with a complaint if it throws one.
    func complaining(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let complaint as Complaint {
            complaint.exit()
        }
    }
}
