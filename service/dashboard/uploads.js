// Sends what is dropped or chosen, in requests that the service takes, and says of each file how far it is.
const MOST_FILES = 500, SHOWN = 50;

const post = (address, form, onProgress) => new Promise(resolve => {
  const request = new XMLHttpRequest();
  request.upload.onprogress = onProgress;
  request.onload = () => {
    let told = {};
    try { told = JSON.parse(request.responseText); } catch { told = {detail: 'The service did not take it.'}; }
    resolve({taken: request.status < 300, ...told});
  };
  request.onerror = () => resolve({taken: false, detail: 'The service cannot be reached.'});
  request.open('POST', address);
  request.send(form);
});

const entriesOf = reader => new Promise((resolve, reject) => {
  const all = [];
  const more = () => reader.readEntries(some => {
    if (!some.length) return resolve(all);
    all.push(...some);
    more();
  }, reject);
  more();
});

const filesIn = async (entry, folder) => {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{file, name: folder + file.name}];
  }
  const found = [];
  for (const one of await entriesOf(entry.createReader())) found.push(...await filesIn(one, `${folder}${entry.name}/`));
  return found;
};

function offer({address, fileBytes, bytes}) {
  const place = document.querySelector('.drop'), sent = document.querySelector('#sent');
  const list = document.querySelector('#sending'), jobs = {};
  place.dataset.ready = 'yes';
  let waiting = Promise.resolve();

  const say = (one, text, kind) => {
    if (!one.line) return;
    one.line.lastChild.textContent = text;
    one.line.lastChild.className = kind || 'faint';
  };
  const inMegabytes = size => `${(size / 2 ** 20).toFixed(1)} MB`;

  const send = async given => {
    if (!given.length) return;
    list.replaceChildren();
    given.forEach((one, index) => {
      if (index >= SHOWN) return;
      one.line = document.createElement('li');
      const name = document.createElement('span');
      name.textContent = one.name;
      one.line.append(name, document.createElement('span'));
      list.append(one.line);
      say(one, 'waits');
    });
    const large = given.filter(one => one.file.size > Math.min(fileBytes, bytes));
    for (const one of large) say(one, `too large: ${inMegabytes(one.file.size)}, the most is ${inMegabytes(Math.min(fileBytes, bytes))}`, 'bad');
    const fit = given.filter(one => !large.includes(one));
    const batches = [[]];
    let size = 0;
    for (const one of fit) {
      // Half of the room: names and boundaries take some.
      if (batches.at(-1).length && (batches.at(-1).length >= MOST_FILES || size + one.file.size > bytes / 2)) {
        batches.push([]);
        size = 0;
      }
      batches.at(-1).push(one);
      size += one.file.size;
    }
    let taken = 0;
    const wrong = large.map(one => `${one.name} is too large`);
    for (const batch of batches) {
      if (!batch.length) continue;
      const form = new FormData();
      for (const one of batch) form.append('files', one.file, one.name);
      const told = await post(address, form, now => {
        sent.textContent = `Sending: ${Math.floor(100 * now.loaded / now.total)} %`;
        let before = 0;
        for (const one of batch) {
          const share = Math.min(1, Math.max(0, (now.loaded - before) / Math.max(1, one.file.size)));
          say(one, share < 1 ? `sending: ${Math.floor(100 * share)} %` : 'sent');
          before += one.file.size;
        }
      });
      for (const one of batch) say(one, told.taken ? 'is being learned' : told.detail, told.taken ? 'faint' : 'bad');
      if (told.taken) {
        taken += batch.length;
        jobs[told.job_id] = batch;
        emitEvent('uploaded', {job_id: told.job_id});
      } else {
        wrong.push(told.detail);
      }
    }
    const more = given.length > SHOWN ? ` (the first ${SHOWN} are listed)` : '';
    sent.textContent = `${taken} of ${given.length} files sent${more}. ${wrong.slice(0, 5).join('. ')}`;
  };
  // One after the other, also where somebody drops files while others are being sent.
  const queue = given => { waiting = waiting.then(() => send(given)); };

  window.jobEnded = ({id, state, failures}) => {
    const failed = new Map(failures.map(one => [one.name, one.error]));
    for (const one of jobs[id] || []) {
      const error = failed.get(one.name);
      say(one, error || (state === 'succeeded' ? 'learned' : state), error || state !== 'succeeded' ? 'bad' : 'good');
    }
    delete jobs[id];
  };

  const take = input => {
    queue([...input.files].map(file => ({file, name: file.webkitRelativePath || file.name})));
    input.value = '';
  };
  const files = place.querySelector('input');
  files.addEventListener('change', () => take(files));
  place.querySelector('#folder').addEventListener('click', () => {
    const folder = document.createElement('input');
    folder.type = 'file';
    folder.webkitdirectory = true;
    folder.addEventListener('change', () => take(folder));
    folder.click();
  });
  place.addEventListener('dragover', drag => { drag.preventDefault(); place.classList.add('over'); });
  place.addEventListener('dragleave', drag => { if (!place.contains(drag.relatedTarget)) place.classList.remove('over'); });
  place.addEventListener('drop', async drop => {
    drop.preventDefault();
    place.classList.remove('over');
    const items = [...drop.dataTransfer.items].map(one => one.webkitGetAsEntry && one.webkitGetAsEntry());
    const plain = [...drop.dataTransfer.files].map(file => ({file, name: file.name}));
    if (items.some(one => one && one.isDirectory)) {
      const found = [];
      for (const one of items) if (one) found.push(...await filesIn(one, ''));
      queue(found);
    } else {
      queue(plain);
    }
  });
}

function offerReplacing({address, document: id, tag}) {
  const form = document.querySelector('#replacing');
  if (form.dataset.ready) return;
  form.dataset.ready = 'yes';
  const text = form.querySelector('#new-text'), said = form.querySelector('#replaced');
  form.querySelector('#new-file').addEventListener('change', async event => {
    const found = await event.target.files[0]?.text() ?? '';
    if (found.includes('\ufffd')) said.textContent = 'This file is no text in UTF-8.';
    else text.value = found;
  });
  form.addEventListener('submit', async event => {
    event.preventDefault();
    const sent = new FormData();
    sent.append('document', id);
    sent.append('tag', tag);
    sent.append('text', new Blob([text.value]), 'text.txt');
    said.textContent = 'Sending';
    const told = await post(address, sent, now => { said.textContent = `Sending: ${Math.floor(100 * now.loaded / now.total)} %`; });
    said.textContent = told.taken ? 'Sent.' : told.detail;
    if (told.taken) {
      text.value = '';
      emitEvent('replaced', {job_id: told.job_id});
    }
  });
}
